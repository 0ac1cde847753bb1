"""Finding the copy of a data set that TensorFlow Datasets has prepared, or having it prepared."""

from __future__ import annotations

import contextlib
import os
import socket
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from absl import logging

from tfdistill.bounds import nearest
from tfdistill.data.dataset import DataUnavailable

if TYPE_CHECKING:
    import tensorflow_datasets as tfds

# What a data set that cannot be downloaded wants in its manual folder, where its own words are too long for a line.
MANUAL_FILES = {
    "imagenet2012": "ILSVRC2012_img_train.tar and ILSVRC2012_img_val.tar from image-net.org (after registration)",
}


def prepared_builder(name: str, data_dir: Path | None, download: bool) -> tfds.core.DatasetBuilder:
    """The builder of a data set whose record files lie ready.

    Args:
        name: as TensorFlow Datasets has it, with "/config" and ":version" if wanted.
        data_dir: the folder that holds `name/version/`; by default the environment's TFDS_DATA_DIR, and else
            TensorFlow Datasets' own default.
        download: whether to download and prepare the data if it is absent.

    Raises:
        DataUnavailable: if there is no prepared copy, or no `tensorflow-datasets`.
        ValueError: if there is no such data set, or its copy is in another format than TFRecord.
    """
    folder = data_dir or os.environ.get("TFDS_DATA_DIR") or None
    with _errors_only():
        builder = _builder(name, folder and os.path.expanduser(folder))
        if not builder.is_prepared():
            _prepare(builder, name, download)
    file_format = builder.info.file_format.value
    if file_format != "tfrecord":
        raise ValueError(f"{builder.data_dir} holds {file_format} files; prepare it as tfrecord")
    return builder


def _builder(name: str, folder: str | None) -> tfds.core.DatasetBuilder:
    try:
        import tensorflow_datasets as tfds
    except ImportError as error:
        raise DataUnavailable(f"{name} needs `pip install tensorflow-datasets importlib_resources`: {error}") from error
    try:
        return tfds.builder(name, data_dir=folder, try_gcs=False)
    except tfds.core.DatasetNotFoundError:
        known = tfds.list_builders(with_community_datasets=False)
        near = nearest(name.split("/")[0].split(":")[0], known)
        raise ValueError(f"dataset {name!r} is unknown to TensorFlow Datasets; nearest: {near}") from None
    except Exception as error:  # an unknown configuration or version, a missing dependency of the data set
        raise ValueError(f"dataset {name!r} of TensorFlow Datasets: {_one_line(error)}") from error


def _prepare(builder: tfds.core.DatasetBuilder, name: str, download: bool) -> None:
    root = builder.data_dir_root
    build = f"`tfds build {name} --data_dir={root}`"
    if builder.MANUAL_DOWNLOAD_INSTRUCTIONS:
        what = MANUAL_FILES.get(builder.name) or f"({_one_line(builder.MANUAL_DOWNLOAD_INSTRUCTIONS)})"
        raise DataUnavailable(
            f"{name} has no prepared copy in {root}, and has to be fetched by hand: put {what} into "
            f"{os.path.join(root, 'downloads', 'manual')}, then run {build}"
        )
    if not download:
        raise DataUnavailable(
            f"{name} has no prepared copy in {root}: point data_dir (or TFDS_DATA_DIR) at a folder with one, "
            f"or allow the download, or run {build}"
        )
    _require_host(builder, name)
    try:
        builder.download_and_prepare()
    except Exception as error:  # network, disk, checksum: whatever the cause, the data is not there
        raise DataUnavailable(f"{name} could not be downloaded to {root}: {_one_line(error)}") from error


def _require_host(builder: tfds.core.DatasetBuilder, name: str) -> None:
    """Tries the host first, which takes a moment: the downloader tries again for minutes before it gives up."""
    address = urllib.parse.urlsplit(next(iter(builder.url_infos or ()), ""))
    if not address.hostname or urllib.request.getproxies():
        return
    try:
        port = address.port or (80 if address.scheme == "http" else 443)
        socket.create_connection((address.hostname, port), timeout=10).close()
    except OSError:
        raise DataUnavailable(
            f"{name} is not in {builder.data_dir_root}, and {address.hostname} cannot be reached to download it: point "
            "data_dir (or TFDS_DATA_DIR) at a folder that TensorFlow Datasets has prepared on another machine"
        ) from None


@contextlib.contextmanager
def _errors_only() -> Iterator[None]:
    """TensorFlow Datasets warns of a folder without the data set, which is then downloaded or refused in words."""
    verbosity = logging.get_verbosity()
    logging.set_verbosity(logging.ERROR)
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)


def _one_line(text: object, longest: int = 300) -> str:
    line = " ".join(str(text).split())
    return line if len(line) <= longest else line[: longest - 1] + "…"
