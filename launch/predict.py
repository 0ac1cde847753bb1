#!/usr/bin/env python3
"""Asks an exported network, with TensorFlow and nothing of tfdistill.

    python launch/predict.py saved_models/quickstart/resnet20                 test digits of scikit-learn
    python launch/predict.py saved_models/my_run/resnet32 cat.jpg dog.png     image files of one's own

The folder is a SavedModel, or holds versions of one as <integer>/, of which the newest is taken.
"""

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import quietly  # noqa: F401  (before TensorFlow)
import tensorflow as tf

LABELS_FILE = "assets/labels.txt"


def newest_version(folder: Path) -> Path:
    """The folder itself if it is a SavedModel, else its highest-numbered subfolder that is one."""
    if (folder / "saved_model.pb").is_file():
        return folder
    children = folder.iterdir() if folder.is_dir() else ()
    versions = [path for path in children if path.name.isdecimal() and (path / "saved_model.pb").is_file()]
    if not versions:
        raise ValueError(f"{folder} is no SavedModel and has no <integer>/saved_model.pb in it")
    return max(versions, key=lambda path: int(path.name))


def test_digits(count: int, shape: list[int]) -> tuple[np.ndarray, list[int]]:
    """Test examples of each class in turn, which training left out, and their labels.

    Args:
        count: how many images.
        shape: [height, width, channels] that the network takes.

    Returns:
        float32 [count, *shape] with values in 0..255, and the classes.
    """
    from sklearn.datasets import load_digits

    digits = load_digits()
    held_out = np.argsort(digits.target, kind="stable")[::5]
    per_class = [held_out[digits.target[held_out] == label] for label in range(10)]
    chosen = [examples[turn] for turn in range(min(map(len, per_class))) for examples in per_class][:count]
    grey = np.rint(digits.images[chosen][..., None] * (255 / 16)).astype(np.float32)
    images = np.repeat(grey, shape[2], axis=-1)
    if images.shape[1:3] != tuple(shape[:2]):
        images = tf.image.resize(images, shape[:2], antialias=True).numpy()
    return images, [int(digits.target[index]) for index in chosen]


def image_bytes(path: Path) -> bytes:
    """A file's content, if it is an image: the network's own error would not name the file."""
    content = path.read_bytes()
    try:
        tf.io.decode_image(content, expand_animations=False)
    except tf.errors.InvalidArgumentError:
        raise ValueError(f"{path} is no JPEG, PNG, GIF or BMP image") from None
    return content


def signature_of(model: object, name: str, version: Path) -> Callable[..., dict[str, tf.Tensor]]:
    """The signature, if it gives what this script prints."""
    signature = model.signatures.get(name)
    if signature is None or "probabilities" not in signature.structured_outputs:
        raise ValueError(f"{version} has no signature {name} with probabilities: no export of tfdistill")
    return signature


def class_names(version: Path, count: int) -> list[str]:
    """The names that were exported with the network, or the classes' numbers where there are none."""
    file = version / LABELS_FILE
    names = file.read_text("utf-8").splitlines() if file.is_file() else []
    return names if len(names) == count else [str(number) for number in range(count)]


def predict(folder: Path, files: list[Path], count: int) -> list[str]:
    """One line per image: what it is, the predicted class, its probability, and the label where known."""
    version = newest_version(folder)
    model = tf.saved_model.load(str(version))
    if files:
        encoded = tf.constant([image_bytes(path) for path in files])
        outputs = signature_of(model, "encoded_images", version)(encoded=encoded)
        names, labels = [str(path) for path in files], None
    else:
        signature = signature_of(model, "serving_default", version)
        if signature.structured_outputs["probabilities"].shape[1] != 10:
            raise ValueError(f"{version} does not tell ten classes apart as for digits; name image files")
        shape = signature.structured_input_signature[1]["images"].shape.as_list()
        images, labels = test_digits(count, shape[1:])
        outputs = signature(images=tf.constant(images))
        names = [f"test digit {number}" for number in range(1, len(images) + 1)]
    probabilities = outputs["probabilities"].numpy()
    classes = class_names(version, probabilities.shape[1])
    lines = [f"{version}: {len(names)} image(s)"]
    for number, (name, row) in enumerate(zip(names, probabilities, strict=True)):
        label = f", true label {classes[labels[number]]}" if labels else ""
        lines.append(f"  {name}: {classes[row.argmax()]} with probability {row.max():.3f}{label}")
    return lines


def main(arguments: list[str]) -> int:
    layout = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=layout)
    parser.add_argument("folder", type=Path, help="a SavedModel, or a folder with its versions")
    parser.add_argument("files", type=Path, nargs="*", help="image files; without any, test digits are taken")
    parser.add_argument("--count", type=int, default=10, help="how many digits (default: %(default)s)")
    options = parser.parse_args(arguments)
    if not 1 <= options.count <= 350:
        parser.error(f"--count must be 1..350, not {options.count}")
    try:
        print("\n".join(predict(options.folder, options.files, options.count)))
    except (OSError, ValueError) as error:
        print(f"predict.py: error: {str(error).splitlines()[0]}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
