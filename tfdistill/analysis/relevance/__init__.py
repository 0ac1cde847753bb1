"""Layer-wise relevance propagation: a network made ready, a rule for each of its layers, and the way down."""
