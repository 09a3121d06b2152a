"""Rules over a stack's objects."""
