"""What a user may call for: the names alone, which flags need without TensorFlow."""

from typing import Literal, get_args

Strategy = Literal["auto", "one", "mirrored", "multi_worker"]
PRECISIONS = ("float32", "mixed_bfloat16")
PRODUCTS = ("float32", "bfloat16")
TeacherPrecision = Literal["float32", "bfloat16"]
TEACHER_PRECISIONS: tuple[str, ...] = get_args(TeacherPrecision)
TeacherAhead = Literal["auto", "on", "off"]
TEACHER_AHEAD: tuple[str, ...] = get_args(TeacherAhead)
STRATEGIES: tuple[str, ...] = get_args(Strategy)
