"""Images in folders, `root/split/class/image`: finding the files, and decoding a batch of them."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import tensorflow as tf

from tfdistill.data.dataset import DataUnavailable, Split

EXTENSIONS = (".jpg", ".jpeg", ".png", ".bmp", ".gif")
TEST_FOLDERS = ("test", "val", "validation")


def load_image_folder(root: Path | None, image_size: int | None) -> tuple[Split, Split, tuple[str, ...]]:
    """Finds the images below `root/train/class/` and `root/test/class/` (or `val`, or `validation`).

    The classes are the sub-folders of `train`, in the order of their names. Hidden files, and those without
    an extension of JPEG, PNG, BMP or GIF, are passed over. Nothing is decoded here.

    Args:
        root: the folder that holds the split folders.
        image_size: height and width that the images are resized to, in pixels.

    Returns:
        (train, test, class names), the splits with paths for images.

    Raises:
        DataUnavailable: if there is no such folder.
        ValueError: if an argument is missing, a split or class folder is missing or empty, a test class is
            not among the training classes, or a file is empty.
    """
    if root is None:
        raise ValueError("image_folder needs data_dir, the folder that holds train/ and test/")
    if image_size is None or image_size < 1:
        raise ValueError(f"image_folder needs an image_size of 1 or more pixels, got {image_size}")
    root = Path(root).expanduser()
    if not root.is_dir():
        raise DataUnavailable(f"data_dir {root} is no folder; image_folder needs one that holds train/ and test/")
    train_folder, test_folder = _split_folder(root, ("train",)), _split_folder(root, TEST_FOLDERS)
    class_names = _folders(train_folder)
    unknown = sorted(set(_folders(test_folder)) - set(class_names))
    if unknown:
        raise ValueError(f"{test_folder} has classes that {train_folder} lacks: {_some(unknown)}")
    shape = (image_size, image_size, 3)
    train, test = _read_split(train_folder, class_names, shape), _read_split(test_folder, class_names, shape)
    return train, test, tuple(class_names)


def read_images(paths: tf.Tensor, image_shape: tuple[int, int, int]) -> tf.Tensor:
    """Decodes files and resizes them: bilinear with anti-aliasing, aspect ratio not kept.

    Args:
        paths: strings [B].
        image_shape: (H, W, 3).

    Returns:
        uint8 [B, H, W, 3]: grey repeated over the channels, alpha dropped, of a GIF the first frame.
    """

    def image(path: tf.Tensor) -> tf.Tensor:
        return _resized(_decoded(tf.io.read_file(path)), image_shape)

    return tf.map_fn(image, paths, fn_output_signature=tf.uint8)


def _decoded(contents: tf.Tensor) -> tf.Tensor:
    """RGB pixels, uint8 [height, width, 3]."""

    def bitmap() -> tf.Tensor:
        # The BMP decoder converts no colours, unlike those of the other formats.
        image = tf.io.decode_bmp(contents)
        grey = tf.shape(image)[-1] < 3
        return tf.cond(grey, lambda: tf.repeat(image[..., :1], 3, axis=-1), lambda: image[..., :3])

    image = tf.cond(
        tf.strings.substr(contents, 0, 2) == b"BM",
        bitmap,
        lambda: tf.io.decode_image(contents, channels=3, expand_animations=False),
    )
    return tf.ensure_shape(image, [None, None, 3])


def _resized(image: tf.Tensor, image_shape: tuple[int, int, int]) -> tf.Tensor:
    image = tf.image.resize(image, image_shape[:2], antialias=True)
    return tf.ensure_shape(tf.saturate_cast(tf.round(image), tf.uint8), image_shape)


def _read_split(folder: Path, class_names: list[str], image_shape: tuple[int, int, int]) -> Split:
    present = _folders(folder)
    if not present:
        raise ValueError(f"{folder} has no class folders; image_folder needs {folder.name}/<class>/<image>")
    paths: list[str] = []
    labels: list[int] = []
    for label, class_name in enumerate(class_names):
        if class_name in present:
            found = _images(folder / class_name)
            paths += found
            labels += [label] * len(found)
    return Split.of_files(paths, np.array(labels, np.int32), image_shape)


def _images(folder: Path) -> list[str]:
    with os.scandir(folder) as entries:
        found = sorted(
            (entry.path, entry.stat().st_size)
            for entry in entries
            if entry.name.lower().endswith(EXTENSIONS) and not entry.name.startswith(".") and entry.is_file()
        )
    if not found:
        raise ValueError(f"class folder {folder} has no images ({', '.join(EXTENSIONS)})")
    for path, size in found:
        if size == 0:
            raise ValueError(f"image {path} is empty (0 bytes)")
    return [path for path, _ in found]


def _split_folder(root: Path, names: tuple[str, ...]) -> Path:
    present = _folders(root)
    for name in names:
        if name in present:
            return root / name
    raise ValueError(f"{root} needs a folder {' or '.join(names)}; found {_some(present) or 'no folders'}")


def _folders(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))


def _some(names: list[str]) -> str:
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
