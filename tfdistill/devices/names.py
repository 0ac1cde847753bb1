"""What a user may call for: the names alone, which flags need without TensorFlow."""

PRECISIONS = ("float32", "mixed_bfloat16")
STRATEGIES = ("auto", "one", "mirrored", "multi_worker")
