"""Why a model cannot be read, in the words of who raised it: one line, and no end of it."""

from __future__ import annotations

import re

LONGEST = 200
COLOURS = re.compile(r"\x1b\[[0-9;]*m")


def reason_of(error: Exception) -> str:
    """What an exception of Keras or TensorFlow says, in one line; of a long one whole sentences or words, and "..."."""
    text = " ".join(COLOURS.sub("", str(error)).split())
    if len(text) <= LONGEST:
        return text
    begun = text[:LONGEST]
    sentences = begun.rfind(". ")
    return f"{begun[:sentences]} ..." if sentences > 0 else f"{begun.rpartition(' ')[0]} ..."
