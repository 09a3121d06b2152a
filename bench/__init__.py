"""Figures that a command prints: medians and ratios of one run, for these machines are noisy."""
