"""What a user writes for teachers, taken apart: sources, ensembles of them, what goes with each, and taps of files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tfdistill.bounds import ArgumentError, shown
from tfdistill.networks.specification import IMAGENET, is_file, name_of_file, require_network
from tfdistill.runs.kept_epochs import path_and_epoch

JOINED = "+"
OWN, SAME, BY_NAME = "own", "same", "by_name"
# What Keras' ResNets of version 1 and VGGs were trained on: blue, green, red in 0..255, less ImageNet's mean.
CAFFE = "caffe"


def members(text: str) -> list[str]:
    """The sources of one teacher: one, or those that "+" joins to an ensemble.

    A plus within a path that is there is part of it.
    """
    if _is_there(text) or "+" not in text:
        return [text]
    for place, letter in enumerate(text):
        first, rest = text[:place], text[place + 1 :]
        if letter == "+" and _is_there(first) and all(map(_is_there, found := members(rest))):
            return [first, *found]
    # One of them is not there; who reads them says which.
    return text.split("+")


def _is_there(text: str) -> bool:
    written, _, source = text.partition(":")
    if source and is_network(written):
        return source == IMAGENET or _is_path(source)
    return _is_path(text)


def _is_path(text: str) -> bool:
    path, _, network = text.rpartition(":")
    return bool(text) and (_exists(text) or bool(network and path and _exists(path)))


def _exists(path: str) -> bool:
    return path_and_epoch(path)[0].exists()


def is_network(name: str) -> bool:
    """Whether a network may be called so."""
    try:
        require_network(name)
    except ValueError:
        return False
    return True


def for_each(flag: str, values: Sequence[str], sources: Sequence[Sequence[str]], default: str) -> list[list[str]]:
    """A value for each source of each teacher.

    Args:
        flag: whose values they are.
        values: none, one for all teachers, or one for each; "+" joins those of an ensemble's sources.
        sources: of each teacher.
        default: where no value is given.

    Raises:
        ArgumentError: there are too many or too few.
    """
    if len(values) not in (0, 1, len(sources)):
        raise ArgumentError(
            flag, f"has {len(values)} values for {len(sources)} teachers; give one for all, or one each"
        )
    chosen = list(values) if len(values) == len(sources) else [values[0] if values else default] * len(sources)
    found = []
    for text, joined in zip(chosen, sources, strict=True):
        parts = [text] if Path(text).exists() else text.split(JOINED)
        if len(parts) not in (1, len(joined)):
            raise ArgumentError(flag, f"{shown(text)} has {len(parts)} values for {len(joined)} joined sources")
        found.append(parts * len(joined) if len(parts) == 1 else parts)
    return found


def taps_of(source: str, taps: Sequence[str]) -> dict[str, str]:
    """By the tap's name, the layers that a user names for the taps of a file.

    Args:
        source: the file's path, or any other source, which has none.
        taps: written as "TAP:LAYER" for every file, or "NAME.TAP:LAYER" for the one of that name.
    """
    if not is_file(source):
        return {}
    named = [_tap(text) for text in taps]
    own = name_of_file(source)
    return {tap: layer for name in ("", own) for owner, tap, layer in named if owner == name}


def require_taps(taps: Sequence[str], sources: Sequence[str]) -> None:
    """Refuses taps that are not written as such, or are for no file among the sources.

    Raises:
        ArgumentError: names the tap.
    """
    files = [name_of_file(one) for one in sources if is_file(one)]
    if taps and not files:
        raise ArgumentError("taps", "is for networks and teachers from .keras files, and none is given; leave it out")
    for text in taps:
        owner, tap, layer = _tap(text)
        if not tap or not layer:
            raise ArgumentError("taps", f"must be TAP:LAYER or NAME.TAP:LAYER, not {shown(text)}")
        if owner and owner not in files:
            raise ArgumentError("taps", f"{shown(text)} is for {owner}, and the files are {', '.join(files)}")


def _tap(text: str) -> tuple[str, str, str]:
    named, _, layer = text.partition(":")
    owner, _, tap = named.rpartition(".")
    return owner, tap, layer
