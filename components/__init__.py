"""The components of the stack: one file each, none imports another, none reads Pulumi's config."""
