"""Where a checkpoint's files lie and what they are called, and what of the file system saving and reading need."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
from pathlib import Path
from typing import Any

FORMAT_VERSION = 1
ARRAYS, MANIFEST = "arrays.npz", "manifest.json"
WRITING, REPLACED = ".writing", ".replaced"
FOLDER_NAME = re.compile(rf"step_[0-9]{{8,}}({re.escape(REPLACED)})?")


class CheckpointError(Exception):
    """A checkpoint could not be written, read or applied; the message is one line."""


def finished(folder: Path) -> list[Path]:
    """The checkpoints, newest first, and at equal steps the replaced one last."""
    if not folder.exists():
        return []
    try:
        paths = [path for path in folder.iterdir() if FOLDER_NAME.fullmatch(path.name)]
    except OSError as error:
        raise CheckpointError(f"checkpoints in {folder} cannot be listed: {reason(error)}") from error
    return sorted(paths, key=lambda path: (step_of(path), not path.name.endswith(REPLACED)), reverse=True)


def step_of(path: Path) -> int:
    """The step that a checkpoint's folder is named after."""
    return int(path.name.removesuffix(REPLACED).removeprefix("step_"))


def sha256(path: Path) -> str:
    """Checksum of a file's content."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sha256_of_manifest(manifest: dict[str, Any]) -> str:
    """Checksum of a manifest without its own checksum."""
    return hashlib.sha256(json.dumps(manifest, sort_keys=True).encode()).hexdigest()


def make_folder(folder: Path) -> None:
    """Makes a folder that a loss of power does not take away again."""
    if not folder.is_dir():
        folder.mkdir(parents=True)
        sync_folder(folder.parent)


def sync(file: Any) -> None:
    """Waits until an open file's content is on the disk."""
    file.flush()
    os.fsync(file.fileno())


def sync_folder(folder: Path) -> None:
    """Waits until the names in a folder are on the disk."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def remove(path: Path) -> None:
    """Removes a folder with all that is in it, or a file."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def reason(error: Exception) -> str:
    """What an error says, in one line without folders."""
    if isinstance(error, OSError) and error.strerror:
        return f"{Path(error.filename).name}: {error.strerror}" if error.filename else error.strerror
    return str(error).splitlines()[0] if str(error) else type(error).__name__
