"""The tests: `unit` and `golden` need Python only, `engine` the Pulumi CLI, `cluster` the embedded cluster."""
