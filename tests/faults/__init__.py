"""Faults on purpose, against a running stack, and what its clients see of them."""
