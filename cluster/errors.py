"""The one error that a person is meant to read."""


class ClusterError(Exception):
    """Something a person can act on: the text is one sentence, or some lines of a tool's own words after it."""
