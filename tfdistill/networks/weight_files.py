"""Readers of weights files, which anybody may have written.

A file says of each array what shape it has, and a few bytes can claim 10^12 values. So only arrays of the shapes that
the network has are read; of the others the shape alone is told, which is what a message wants. An HDF5 file can name
other files to read from: such files are refused.
"""

from __future__ import annotations

import io
import math
import struct
import zipfile
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file

Shapes = Mapping[str, tuple[int, ...]]
# What the readers raise for a file that is damaged, or is something else.
UNREADABLE = (
    *(OSError, ValueError, KeyError, IndexError, TypeError, AttributeError, EOFError, MemoryError, RuntimeError),
    *(OverflowError, NotImplementedError, SyntaxError, struct.error, zlib.error, zipfile.BadZipFile, SafetensorError),
)
# Beside the network's own weights a file has names, an optimizer's two moments of each, and the like.
ROOM, TIMES = 100_000_000, 8
# Values of a piece that HDF5 reads at once, beyond those of the array.
CHUNK = 1_000_000


def _read_npz(path: Path, shapes: Shapes) -> dict[str, np.ndarray]:
    arrays = {}
    with zipfile.ZipFile(path) as archive:
        for member in archive.namelist():
            name = member.removesuffix(".npy")
            with archive.open(member) as file:
                shape, kind = _claim(file)
                arrays[name] = without_values(shape, kind)
                if shape == shapes.get(name):
                    with archive.open(member) as again:
                        arrays[name] = np.lib.format.read_array(again, allow_pickle=False)
    return arrays


def _claim(file: Any) -> tuple[tuple[int, ...], np.dtype]:
    """Shape and type that the header of an .npy file states."""
    version = np.lib.format.read_magic(file)
    # The later versions have room for headers of 4 GB; numpy writes plain arrays in this one.
    if version != (1, 0):
        raise ValueError(f"an array has version {version} of the npy format, plain arrays have (1, 0)")
    shape, _, kind = np.lib.format.read_array_header_1_0(file)
    if kind.hasobject:
        raise ValueError("it has Python objects in it, which only running code could read")
    return shape, kind


def _read_safetensors(path: Path, shapes: Shapes) -> dict[str, np.ndarray]:
    # The format's library holds the claimed shapes against the bytes that are there.
    return load_file(path)


def _read_keras(path: Path, shapes: Shapes) -> dict[str, np.ndarray]:
    with zipfile.ZipFile(path) as archive:
        member = archive.getinfo("model.weights.h5")
        largest = ROOM + TIMES * 4 * sum(math.prod(shape) for shape in shapes.values())
        if member.file_size > largest:
            raise ValueError(f"its weights claim {member.file_size:,} bytes, more than a network of this kind has")
        with archive.open(member) as file:
            return _read_h5(io.BytesIO(file.read(member.file_size)), shapes)


def _read_h5(file: Path | io.BytesIO, shapes: Shapes) -> dict[str, np.ndarray]:
    """Arrays as "<layer>/<position>": Keras 3 writes a group "vars" per layer, its attribute "name" the layer's."""
    arrays: dict[str, np.ndarray] = {}

    def collect(path: str, group: h5py.Group | h5py.Dataset) -> None:
        is_layer = path.endswith("/vars") and not path.startswith("optimizer") and "name" in group.attrs
        if is_layer:
            for key in group:
                name = f"{group.attrs['name']}/{key}"
                found = _own(group, key)
                fits = found.shape == shapes.get(name)
                arrays[name] = np.asarray(found) if fits else without_values(found.shape, found.dtype)

    with h5py.File(file, "r") as content:
        content.visititems(collect)
        if not arrays and "layer_names" in {*content.attrs, *content.get("model_weights", content).attrs}:
            raise ValueError("it is in the format of Keras 2")
    return arrays


def _own(group: h5py.Group, key: str) -> h5py.Dataset:
    """An array that lies in the file itself.

    Raises:
        ValueError: it is a link, lies in another file, or is made of other files' parts.
    """
    place = f"'{group.name}/{key}'"
    link = group.get(key, getlink=True)
    if not isinstance(link, h5py.HardLink):
        other = f" to {link.filename}" if isinstance(link, h5py.ExternalLink) else ""
        raise ValueError(f"{place} is a link{other}; weights have to be in the file itself")
    found = group[key]
    if not isinstance(found, h5py.Dataset) or found.shape is None:
        raise ValueError(f"{place} is no array")
    if found.external or found.is_virtual:
        raise ValueError(f"{place} lies in another file; weights have to be in the file itself")
    if found.chunks and math.prod(found.chunks) > CHUNK + found.size:
        raise ValueError(f"{place} is stored in pieces of {math.prod(found.chunks):,} values, and has {found.size:,}")
    return found


def without_values(shape: tuple[int, ...], kind: np.dtype) -> np.ndarray:
    """An array that has the shape, and takes no memory whatever that is."""
    return np.broadcast_to(np.zeros((), kind), shape)


READERS: dict[str, Callable[[Path, Shapes], dict[str, np.ndarray]]] = {
    ".keras": _read_keras,
    ".weights.h5": _read_h5,
    ".npz": _read_npz,
    ".safetensors": _read_safetensors,
}
