"""Each stack as it would be declared, recorded: the change of a golden is the stack diff of a review."""
