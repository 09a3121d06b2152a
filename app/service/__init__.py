"""A small HTTP service with a Redis cache: the place to start an API of your own from."""

__version__ = "0.1.0"
