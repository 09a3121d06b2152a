"""The embedded cluster: real Kubernetes on one Linux machine, without Docker and without a registry.

It is a default for a first run, for development and for CI. The Pulumi program knows nothing of it.
"""
