"""What the tests share: the program run under a recording monitor, and questions to ask the graph that it made."""
