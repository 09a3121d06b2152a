"""Generated documentation, and what generates it."""
