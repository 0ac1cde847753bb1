"""Reading a checkpoint: nothing is given out whose checksums are not right."""

from __future__ import annotations

import json
import os
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from absl import logging

from tfdistill.runs.checkpoints.files import (
    ARRAYS,
    FOLDER_NAME,
    FORMAT_VERSION,
    MANIFEST,
    CheckpointError,
    finished,
    reason,
    sha256,
    sha256_of_manifest,
    step_of,
)


@dataclass(frozen=True)
class Checkpoint:
    """What `newest` read: the step, arrays by name, the caller's metadata, and the folder they came from."""

    step: int
    arrays: dict[str, np.ndarray]
    metadata: dict[str, Any]
    path: Path


def exist(folder: str | os.PathLike) -> bool:
    """Whether a checkpoint, whole or damaged, was ever finished in `folder`."""
    return bool(finished(Path(folder)))


def newest(folder: str | os.PathLike, *, misfit: Callable[[Checkpoint], str] | None = None) -> Checkpoint | None:
    """Reads the newest whole checkpoint that fits, naming in a warning each one that it passes over, and why.

    Args:
        folder: where the run's checkpoints lie.
        misfit: says in one line why a checkpoint is another training's, or "" if it is not; all fit if not given.

    Returns:
        The checkpoint; None only where none was ever finished.

    Raises:
        CheckpointError: there are checkpoints, and every one of them is damaged or does not fit.
    """
    passed = []
    for path in finished(Path(folder)):
        try:
            found = read_whole(path)
        except CheckpointError as error:
            problem, kind = str(error), "is damaged"
        else:
            problem, kind = misfit(found) if misfit else "", "is of another training"
            if not problem:
                return found
        logging.warning("checkpoint %s %s: %s; trying the one before it", path, kind, problem)
        passed.append((path.name, kind, problem))
    if not passed:
        return None
    kinds = " or ".join(sorted({kind for _, kind, _ in passed}))
    names = ", ".join(f"{name} ({problem})" for name, _, problem in passed)
    raise CheckpointError(f"every checkpoint in {folder} {kinds}: {names}")


def read(path: str | os.PathLike) -> Checkpoint:
    """Reads one checkpoint, and no other if it is damaged.

    Args:
        path: the checkpoint's own folder, `step_00001234`.

    Raises:
        CheckpointError: it is not there, is damaged, or its folder has another name.
    """
    path = Path(path)
    if not FOLDER_NAME.fullmatch(path.name):
        raise CheckpointError(f"{path} is no checkpoint: its name must be step_ and eight digits")
    try:
        return read_whole(path)
    except CheckpointError as error:
        raise CheckpointError(f"checkpoint {path} is damaged: {error}") from error


def manifest_if_whole(path: Path) -> dict[str, Any] | None:
    """The manifest of a whole checkpoint, None of a damaged one."""
    try:
        return verified_manifest(path)
    except CheckpointError:
        return None


def verified_manifest(path: Path) -> dict[str, Any]:
    """The manifest, after its own checksum and the size and checksum of the arrays' file were found right."""
    try:
        for name in (MANIFEST, ARRAYS):
            # To open what is no file may wait for ever.
            if (path / name).exists() and not (path / name).is_file():
                raise CheckpointError(f"{name} is no file")
        manifest = json.loads((path / MANIFEST).read_text(encoding="utf-8"))
        version = manifest.get("format_version")
        if version != FORMAT_VERSION:
            raise CheckpointError(f"{MANIFEST} has format version {version}, not {FORMAT_VERSION}")
        if manifest.pop("sha256", None) != sha256_of_manifest(manifest):
            raise CheckpointError(f"{MANIFEST} does not match its checksum")
        size, expected = (path / ARRAYS).stat().st_size, manifest["file"]["bytes"]
        if size != expected:
            raise CheckpointError(f"{ARRAYS} has {size} bytes, {expected} were written")
        if sha256(path / ARRAYS) != manifest["file"]["sha256"]:
            raise CheckpointError(f"{ARRAYS} does not match its checksum")
    except OSError as error:
        raise CheckpointError(reason(error)) from error
    except (ValueError, AttributeError, RecursionError) as error:
        raise CheckpointError(f"{MANIFEST} cannot be parsed") from error
    return manifest


def read_whole(path: Path) -> Checkpoint:
    """The checkpoint in `path`, whatever its name says of its kind."""
    manifest = verified_manifest(path)
    if manifest["step"] != step_of(path):
        raise CheckpointError(f"{MANIFEST} is of step {manifest['step']}")
    try:
        with zipfile.ZipFile(path / ARRAYS) as archive:
            arrays = {name.removesuffix(".npy"): _read_array(archive, name) for name in archive.namelist()}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise CheckpointError(f"{ARRAYS} cannot be read: {reason(error)}") from error
    found = {name: {"shape": list(a.shape), "dtype": a.dtype.str} for name, a in arrays.items()}
    if found != manifest["arrays"]:
        raise CheckpointError(f"{ARRAYS} holds other arrays than {MANIFEST} lists")
    return Checkpoint(manifest["step"], arrays, manifest["metadata"], path)


def _read_array(archive: zipfile.ZipFile, name: str) -> np.ndarray:
    with archive.open(name) as member:
        return np.lib.format.read_array(member, allow_pickle=False)
