"""The real Pulumi CLI with its real providers and a backend of files; no cluster."""
