"""The HTTP routes: one module a resource, with a function that returns its router for `service.main` to include."""
