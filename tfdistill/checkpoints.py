"""Durable checkpoints of arrays: written aside and renamed, verified when read, never silently started over.

On disk a checkpoint is a folder `step_00001234` with two files: `arrays.npz`, which `numpy.load` opens, and
`manifest.json`, which states the step, the caller's metadata, every array's shape and dtype, the SHA-256
of `arrays.npz`, and its own. A folder with a suffix is one that a save was busy with: `.writing` is not a
checkpoint yet, `.replaced` stands in for a checkpoint until the save that replaces it has finished.
"""

import difflib
import hashlib
import json
import os
import re
import shutil
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from absl import logging

FORMAT_VERSION = 1
ARRAYS, MANIFEST = "arrays.npz", "manifest.json"
WRITING, REPLACED = ".writing", ".replaced"
_HALF_FROM_SINGLE = {("bfloat16", "float32"), ("float16", "float32")}
_FOLDER_NAME = re.compile(rf"step_\d{{8,}}({re.escape(REPLACED)})?")


class CheckpointError(Exception):
    """A checkpoint could not be written, read or applied; the message is one line."""


@dataclass(frozen=True)
class Checkpoint:
    """What `newest` read: the step, arrays by name, the caller's metadata, and the folder they came from."""

    step: int
    arrays: dict[str, np.ndarray]
    metadata: dict[str, Any]
    path: Path


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
        _make_folder(folder)
        _remove(writing)
        writing.mkdir()
        _write_arrays(writing / ARRAYS, arrays)
        _write_manifest(writing / MANIFEST, _manifest(step, arrays, metadata, writing / ARRAYS))
        _sync_folder(writing)
        _put_in_place(writing, final)
    except OSError as error:
        shutil.rmtree(writing, ignore_errors=True)
        raise CheckpointError(f"step {step} was not written to {folder}: {_reason(error)}") from error
    try:
        _prune(folder, step, keep)
    except (OSError, CheckpointError) as error:
        logging.warning("older checkpoints in %s could not be removed: %s", folder, _reason(error))
    return final


def newest(folder: str | os.PathLike) -> Checkpoint | None:
    """Reads the newest whole checkpoint, naming in a warning each damaged one that it passes over.

    Args:
        folder: where the run's checkpoints lie.

    Returns:
        The checkpoint; None only where none was ever finished.

    Raises:
        CheckpointError: there are checkpoints and every one of them is damaged.
    """
    damaged = []
    for path in _finished(Path(folder)):
        try:
            return _read(path)
        except CheckpointError as error:
            logging.warning("checkpoint %s is damaged: %s; trying the one before it", path, error)
            damaged.append(f"{path.name} ({error})")
    if damaged:
        raise CheckpointError(f"every checkpoint in {folder} is damaged: {', '.join(damaged)}")
    return None


def read(path: str | os.PathLike) -> Checkpoint:
    """Reads one checkpoint, and no other if it is damaged.

    Args:
        path: the checkpoint's own folder, `step_00001234`.

    Raises:
        CheckpointError: it is not there, is damaged, or its folder has another name.
    """
    path = Path(path)
    if not _FOLDER_NAME.fullmatch(path.name):
        raise CheckpointError(f"{path} is no checkpoint: its name must be step_ and eight digits")
    try:
        return _read(path)
    except CheckpointError as error:
        raise CheckpointError(f"checkpoint {path} is damaged: {error}") from error


def assign(variables: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> None:
    """Assigns every array to the variable of its name, after checking that all of them fit.

    Names must match one to one, shapes and dtypes must be equal. Half-precision variables also take float32
    arrays, as `.npz` has no bfloat16.

    Args:
        variables: name to `keras.Variable` or `tf.Variable`.
        arrays: name to array, as in `Checkpoint.arrays`.

    Raises:
        CheckpointError: something does not fit; no variable was touched.
    """
    _check_names(variables, arrays)
    for name, variable in variables.items():
        array, shape = np.asarray(arrays[name]), tuple(variable.shape)
        if shape != array.shape:
            raise CheckpointError(f"variable '{name}' has shape {shape}, its array in the checkpoint {array.shape}")
        dtype, found = getattr(variable.dtype, "name", variable.dtype), array.dtype.name
        if dtype != found and (dtype, found) not in _HALF_FROM_SINGLE:
            raise CheckpointError(f"variable '{name}' is {dtype}, its array in the checkpoint {found}")
    for name, variable in variables.items():
        variable.assign(arrays[name])


def _check_names(variables: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> None:
    missing = sorted(variables.keys() - arrays.keys())
    unexpected = sorted(arrays.keys() - variables.keys())
    if missing:
        rest = _more(missing) + _nearest(missing[0], unexpected)
        raise CheckpointError(f"the checkpoint has no array for variable '{missing[0]}'{rest}")
    if unexpected:
        rest = _more(unexpected)
        raise CheckpointError(f"the checkpoint's array '{unexpected[0]}'{rest} belongs to no variable")


def _more(names: Sequence[str]) -> str:
    return f" (and {len(names) - 1} more)" if len(names) > 1 else ""


def _nearest(name: str, candidates: Sequence[str]) -> str:
    close = difflib.get_close_matches(name, candidates, n=1)
    return f"; the nearest it has is '{close[0]}'" if close else ""


# Writing.


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
        _sync(file)


def _manifest(step: int, arrays: Mapping[str, np.ndarray], metadata: dict[str, Any], path: Path) -> dict[str, Any]:
    return {
        "format_version": FORMAT_VERSION,
        "step": step,
        "written": datetime.now(UTC).isoformat(timespec="seconds"),
        "metadata": metadata,
        "file": {"name": ARRAYS, "bytes": path.stat().st_size, "sha256": _sha256(path)},
        "arrays": {name: {"shape": list(a.shape), "dtype": a.dtype.str} for name, a in arrays.items()},
    }


def _write_manifest(path: Path, manifest: dict[str, Any]) -> None:
    with path.open("w", encoding="utf-8") as file:
        json.dump({**manifest, "sha256": _sha256_of_manifest(manifest)}, file, indent=1)
        _sync(file)


def _put_in_place(writing: Path, final: Path) -> None:
    if final.exists():
        if _same_content(writing, final):
            shutil.rmtree(writing)
            return
        # A folder cannot be renamed over another: between these two renames the old one stands in.
        replaced = final.with_name(final.name + REPLACED)
        _remove(replaced)
        final.rename(replaced)
    writing.rename(final)
    _sync_folder(final.parent)


def _same_content(one: Path, other: Path) -> bool:
    first, second = _manifest_if_whole(one), _manifest_if_whole(other)
    return first is not None and second is not None and {**first, "written": ""} == {**second, "written": ""}


def _prune(folder: Path, step: int, keep: int) -> None:
    for path in folder.glob(f"step_*{WRITING}"):
        _remove(path)
    for path in folder.glob(f"step_*{REPLACED}"):
        if path.with_name(path.name.removesuffix(REPLACED)).exists():
            _remove(path)
    whole = 0
    for path in _finished(folder):
        if _step_of(path) > step:
            continue
        if whole >= keep:
            _remove(path)
        elif _step_of(path) == step or _manifest_if_whole(path) is not None:
            whole += 1


# Reading.


def _finished(folder: Path) -> list[Path]:
    """The checkpoints, newest first, and at equal steps the replaced one last."""
    if not folder.exists():
        return []
    try:
        paths = [path for path in folder.iterdir() if _FOLDER_NAME.fullmatch(path.name)]
    except OSError as error:
        raise CheckpointError(f"checkpoints in {folder} cannot be listed: {_reason(error)}") from error
    return sorted(paths, key=lambda path: (_step_of(path), not path.name.endswith(REPLACED)), reverse=True)


def _step_of(path: Path) -> int:
    return int(path.name.removesuffix(REPLACED).removeprefix("step_"))


def _manifest_if_whole(path: Path) -> dict[str, Any] | None:
    try:
        return _verified_manifest(path)
    except CheckpointError:
        return None


def _verified_manifest(path: Path) -> dict[str, Any]:
    """The manifest, after its own checksum and the size and checksum of the arrays' file were found right."""
    try:
        manifest = json.loads((path / MANIFEST).read_text(encoding="utf-8"))
        version = manifest.get("format_version")
        if version != FORMAT_VERSION:
            raise CheckpointError(f"{MANIFEST} has format version {version}, not {FORMAT_VERSION}")
        if manifest.pop("sha256", None) != _sha256_of_manifest(manifest):
            raise CheckpointError(f"{MANIFEST} does not match its checksum")
        size, expected = (path / ARRAYS).stat().st_size, manifest["file"]["bytes"]
        if size != expected:
            raise CheckpointError(f"{ARRAYS} has {size} bytes, {expected} were written")
        if _sha256(path / ARRAYS) != manifest["file"]["sha256"]:
            raise CheckpointError(f"{ARRAYS} does not match its checksum")
    except OSError as error:
        raise CheckpointError(_reason(error)) from error
    except (ValueError, AttributeError) as error:
        raise CheckpointError(f"{MANIFEST} cannot be parsed") from error
    return manifest


def _read(path: Path) -> Checkpoint:
    manifest = _verified_manifest(path)
    if manifest["step"] != _step_of(path):
        raise CheckpointError(f"{MANIFEST} is of step {manifest['step']}")
    try:
        with zipfile.ZipFile(path / ARRAYS) as archive:
            arrays = {name.removesuffix(".npy"): _read_array(archive, name) for name in archive.namelist()}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise CheckpointError(f"{ARRAYS} cannot be read: {_reason(error)}") from error
    found = {name: {"shape": list(a.shape), "dtype": a.dtype.str} for name, a in arrays.items()}
    if found != manifest["arrays"]:
        raise CheckpointError(f"{ARRAYS} holds other arrays than {MANIFEST} lists")
    return Checkpoint(manifest["step"], arrays, manifest["metadata"], path)


def _read_array(archive: zipfile.ZipFile, name: str) -> np.ndarray:
    with archive.open(name) as member:
        return np.lib.format.read_array(member, allow_pickle=False)


# The file system.


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _sha256_of_manifest(manifest: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(manifest, sort_keys=True).encode()).hexdigest()


def _make_folder(folder: Path) -> None:
    if not folder.is_dir():
        folder.mkdir(parents=True)
        _sync_folder(folder.parent)


def _sync(file: Any) -> None:
    file.flush()
    os.fsync(file.fileno())


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _reason(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        return f"{Path(error.filename).name}: {error.strerror}" if error.filename else error.strerror
    return str(error).splitlines()[0] if str(error) else type(error).__name__
