"""Files of the same bytes in several parts of a data set: what is trained on would be scored, too."""

from __future__ import annotations

import hashlib
import os
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Sequence

from tfdistill.data.dataset import shown_path


def files_in_two_parts(parts: Sequence[Sequence[str]]) -> str:
    """Says how many files of the later parts have the same bytes as one of the first; empty where none has.

    Only files of a size that comes in the first part and in a later one are read, so that a folder of photographs costs
    little. A file that cannot be read any more counts as like no other.

    Args:
        parts: paths of each part's files, the training part first.
    """
    sizes = [_by(_size, part) for part in parts]
    shared = [size for size in sizes[0] if size is not None and any(size in later for later in sizes[1:])]
    trained = {key for size in shared for key in _by(_digest, sizes[0][size]) if key is not None}
    found = [
        path
        for later in sizes[1:]
        for size in shared
        for key, paths in _by(_digest, later.get(size, ())).items()
        if key in trained
        for path in paths
    ]
    if not found:
        return ""
    one = len(found) == 1
    return (
        f"{len(found)} held-out {'image has' if one else 'images have'} the same bytes as a training image, so that "
        f"{'its score is' if one else 'their scores are'} too good; {'it is' if one else 'the first is'} "
        f"{shown_path(min(found))}"
    )


def _by(key: Callable[[str], Hashable], paths: Iterable[str]) -> dict[Hashable, list[str]]:
    grouped: dict[Hashable, list[str]] = defaultdict(list)
    for path in paths:
        grouped[key(path)].append(path)
    return grouped


def _size(path: str) -> int | None:
    try:
        return os.path.getsize(path)
    except OSError:
        return None


def _digest(path: str) -> bytes | None:
    try:
        with open(path, "rb") as file:
            return hashlib.file_digest(file, "sha256").digest()
    except OSError:
        return None
