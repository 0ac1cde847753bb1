"""Writing a checkpoint so that nothing that happens meanwhile costs an earlier one."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import zipfile
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from absl import logging

from tfdistill.runs.checkpoints.files import (
    ARRAYS,
    FORMAT_VERSION,
    MANIFEST,
    REPLACED,
    WRITING,
    CheckpointError,
    finished,
    make_folder,
    reason,
    remove,
    sha256,
    sha256_of_manifest,
    step_of,
    sync,
    sync_folder,
)
from tfdistill.runs.checkpoints.reading import manifest_if_whole


def save(
    folder: str | os.PathLike,
    step: int,
    arrays: Mapping[str, np.ndarray],
    metadata: Mapping[str, Any],
    *,
    keep: int = 2,
) -> Path:
    """Writes a checkpoint so that a kill, a crash or a full disk at any moment leaves the earlier ones whole.

    The files are written to a folder aside and synced to disk, then the folder is renamed. Only then are
    older checkpoints removed, and only those with `keep` whole ones above them: damaged ones do not count.
    Checkpoints of later steps are left alone. A whole checkpoint of the same step and content stays as it
    is; any other of that step is replaced. One process at a time may save to a folder.

    Args:
        folder: where the run's checkpoints lie; made if absent.
        step: the training step that the arrays belong to, 0 or more.
        arrays: name to array of booleans, integers or floats, of any shape; a name is any non-empty text.
        metadata: what JSON can hold; comes back as JSON returns it (tuples as lists, keys as text).
        keep: how many of the newest whole checkpoints stay, this one included, 2 or more.

    Returns:
        The checkpoint's folder.

    Raises:
        ValueError: an argument is not as described.
        CheckpointError: the file system refused; earlier checkpoints are untouched.
    """
    _check_numbers(step, keep)
    arrays, metadata = _checked_arrays(arrays), _as_json_returns(metadata)
    folder = Path(folder)
    final, writing = folder / f"step_{step:08d}", folder / f"step_{step:08d}{WRITING}"
    try:
        make_folder(folder)
        remove(writing)
        writing.mkdir()
        _write_arrays(writing / ARRAYS, arrays)
        _write_manifest(writing / MANIFEST, _manifest(step, arrays, metadata, writing / ARRAYS))
        sync_folder(writing)
        _put_in_place(writing, final)
    except OSError as error:
        shutil.rmtree(writing, ignore_errors=True)
        raise CheckpointError(f"step {step} was not written to {folder}: {reason(error)}") from error
    try:
        _prune(folder, step, keep)
    except (OSError, CheckpointError) as error:
        logging.warning("older checkpoints in %s could not be removed: %s", folder, reason(error))
    return final


def tidy(folder: str | os.PathLike) -> None:
    """Removes what saves that were killed have left; call it where no other process saves to the folder.

    A checkpoint that stands in for one which never came gets its own name back. What cannot be removed stays.
    """
    folder = Path(folder)
    for path in folder.glob(f"step_*{WRITING}"):
        with contextlib.suppress(OSError):
            remove(path)
    for path in folder.glob(f"step_*{REPLACED}"):
        final = path.with_name(path.name.removesuffix(REPLACED))
        with contextlib.suppress(OSError):
            if manifest_if_whole(final) is not None:
                remove(path)
            elif not final.exists():
                path.rename(final)


def leave_alone(path: Path) -> None:
    """Removes every other checkpoint of the folder that `path` lies in; what cannot be removed stays."""
    for other in finished(path.parent):
        if other != path:
            with contextlib.suppress(OSError):
                remove(other)


def _check_numbers(step: int, keep: int) -> None:
    if isinstance(step, bool) or not isinstance(step, int) or step < 0:
        raise ValueError(f"step must be an int of 0 or more, got {step!r}")
    if isinstance(keep, bool) or not isinstance(keep, int) or keep < 2:
        raise ValueError(f"keep must be an int of 2 or more, as the newest may be damaged, got {keep!r}")


def _checked_arrays(arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    arrays = {name: np.asarray(array) for name, array in arrays.items()}
    for name, array in arrays.items():
        if not isinstance(name, str) or not name or "\0" in name:
            raise ValueError(f"names of arrays must be non-empty text, got {name!r}")
        if array.dtype.kind not in "biuf" or array.dtype.itemsize > 8:
            raise ValueError(f"array '{name}' has dtype {array.dtype}; use bool, int, uint or float, 64 bits at most")
    return arrays


def _as_json_returns(metadata: Mapping[str, Any]) -> dict[str, Any]:
    try:
        return json.loads(json.dumps(dict(metadata)))
    except (TypeError, ValueError) as error:
        raise ValueError(f"metadata must be what JSON can hold: {error}") from error


def _write_arrays(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    # Not numpy.savez: it takes names as keyword arguments, and stumbles over one named "file".
    with path.open("wb") as file:
        with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
            for name, array in arrays.items():
                # ZipInfo's fixed date makes equal arrays equal files.
                with archive.open(zipfile.ZipInfo(name + ".npy"), "w", force_zip64=True) as member:
                    np.lib.format.write_array(member, array, allow_pickle=False)
        sync(file)


def _manifest(step: int, arrays: Mapping[str, np.ndarray], metadata: dict[str, Any], path: Path) -> dict[str, Any]:
    return {
        "format_version": FORMAT_VERSION,
        "step": step,
        "written": datetime.now(UTC).isoformat(timespec="seconds"),
        "metadata": metadata,
        "file": {"name": ARRAYS, "bytes": path.stat().st_size, "sha256": sha256(path)},
        "arrays": {name: {"shape": list(a.shape), "dtype": a.dtype.str} for name, a in arrays.items()},
    }


def _write_manifest(path: Path, manifest: dict[str, Any]) -> None:
    with path.open("w", encoding="utf-8") as file:
        json.dump({**manifest, "sha256": sha256_of_manifest(manifest)}, file, indent=1)
        sync(file)


def _put_in_place(writing: Path, final: Path) -> None:
    if final.exists():
        if _same_content(writing, final):
            shutil.rmtree(writing)
            return
        # A folder cannot be renamed over another: between these two renames the old one stands in.
        replaced = final.with_name(final.name + REPLACED)
        remove(replaced)
        final.rename(replaced)
    writing.rename(final)
    sync_folder(final.parent)


def _same_content(one: Path, other: Path) -> bool:
    first, second = manifest_if_whole(one), manifest_if_whole(other)
    return first is not None and second is not None and {**first, "written": ""} == {**second, "written": ""}


def _prune(folder: Path, step: int, keep: int) -> None:
    for path in folder.glob(f"step_*{WRITING}"):
        remove(path)
    for path in folder.glob(f"step_*{REPLACED}"):
        if path.with_name(path.name.removesuffix(REPLACED)).exists():
            remove(path)
    whole = 0
    for path in finished(folder):
        if step_of(path) > step:
            continue
        if whole >= keep:
            remove(path)
        elif step_of(path) == step or manifest_if_whole(path) is not None:
            whole += 1
