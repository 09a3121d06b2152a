"""Pure helpers that return parts of Kubernetes objects. No resource is created here."""
