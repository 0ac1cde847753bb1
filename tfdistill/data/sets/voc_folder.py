"""Images with boxes in the folders and files of Pascal VOC, of any classes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from xml.etree import ElementTree

import numpy as np

from tfdistill.data.dataset import DataUnavailable, Loaded
from tfdistill.data.sets.annotations import Annotated, split_of, warn_of_duplicates
from tfdistill.data.sets.image_files import EXTENSIONS
from tfdistill.data.transforms.readings import MAX_PIXELS

TRAIN_LISTS, TEST_LISTS = ("trainval", "train"), ("test", "val")


def load_voc_folder(root: str | Path, image_size: int, max_pixels: int = MAX_PIXELS) -> Loaded:
    """Reads `Annotations/*.xml`, `JPEGImages/` and the lists `ImageSets/Main/*.txt`.

    Trained on is what `trainval.txt` names, or `train.txt` where there is none; tested on what `test.txt` names, or
    `val.txt`. The classes are those of the training part, in the order of their names. Coordinates are VOC's: whole
    pixels counted from 1, of which the last belongs to the object. See `split_of` for bad annotations.

    Args:
        root: the folder.
        image_size: height and width of a batch's images, in pixels, to which whole images are squeezed.
        max_pixels: of an image, at most; 0 for any.

    Raises:
        DataUnavailable: if there is no such folder.
        ValueError: a list or a file is missing or is none, there is no object to train on, or as of `split_of`; one
            line names the file.
    """
    root = Path(root).expanduser()
    if not root.is_dir():
        raise DataUnavailable(f"data_dir: {root} is no folder; voc_folder needs one with Annotations and JPEGImages")
    lists = [_list_in(root, names) for names in (TRAIN_LISTS, TEST_LISTS)]
    parts = [[_annotated(root, name, source) for name in _names_in(source)] for source in lists]
    class_names = sorted({name for image in parts[0] for name in image.classes})
    if not class_names:
        raise ValueError(f"data_dir: no image of {lists[0]} has an object to train on")
    train, test = (
        split_of(part, class_names, image_size, max_pixels, str(source))
        for part, source in zip(parts, lists, strict=True)
    )
    warn_of_duplicates(str(root), *parts)
    return Loaded(train, test, tuple(class_names))


def _list_in(root: Path, names: Sequence[str]) -> Path:
    paths = [root / "ImageSets" / "Main" / f"{name}.txt" for name in names]
    found = next((path for path in paths if path.is_file()), None)
    if found is None:
        raise ValueError(f"data_dir: there is neither {paths[0]} nor {paths[1].name} beside it")
    return found


def _names_in(source: Path) -> list[str]:
    try:
        return [line.split()[0] for line in source.read_text(encoding="utf-8").splitlines() if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"data_dir: {source} cannot be read: {error}") from None


def _annotated(root: Path, name: str, source: Path) -> Annotated:
    path = root / "Annotations" / f"{name}.xml"
    try:
        tree = ElementTree.parse(path).getroot()
    except FileNotFoundError:
        raise ValueError(f"data_dir: {source} names {name}, and there is no {path}") from None
    except (OSError, ElementTree.ParseError, ValueError, LookupError) as error:
        raise ValueError(f"data_dir: {path} is no XML: {' '.join(str(error).split())}") from None
    boxes, classes, difficult = [], [], []
    for number, one in enumerate(tree.iterfind("object"), 1):
        where = f"{path}: object {number}"
        left, top, right, bottom = (_number(one, f"bndbox/{edge}", where) for edge in ("xmin", "ymin", "xmax", "ymax"))
        # Pixels are counted from 1, and the last one is the object's.
        boxes.append((top - 1, left - 1, bottom, right))
        classes.append(_text(one, "name", where))
        difficult.append((one.findtext("difficult") or "0").strip() not in ("", "0"))
    return Annotated(
        _image_of(root / "JPEGImages", name, path),
        str(path),
        np.array(boxes, np.float64).reshape(-1, 4),
        classes,
        difficult,
        _size_in(tree, path),
    )


def _image_of(folder: Path, name: str, annotation: Path) -> Path:
    found = next((path for ending in EXTENSIONS if (path := folder / f"{name}{ending}").is_file()), None)
    if found is None:
        raise ValueError(f"data_dir: {annotation} is about {folder / name}.jpg, which is not there")
    return found


def _size_in(tree: ElementTree.Element, path: Path) -> tuple[int, int] | None:
    """As it is written; None where nothing or 0 is, as some tools do."""
    if tree.find("size") is None:
        return None
    height, width = (int(_number(tree, f"size/{side}", str(path))) for side in ("height", "width"))
    return (height, width) if height > 0 and width > 0 else None


def _text(tree: ElementTree.Element, name: str, where: str) -> str:
    found = (tree.findtext(name) or "").strip()
    if not found:
        raise ValueError(f"data_dir: {where} has no {name}")
    return found


def _number(tree: ElementTree.Element, name: str, where: str) -> float:
    text = _text(tree, name, where)
    try:
        number = float(text)
    except ValueError:
        number = np.nan
    if not np.isfinite(number):
        raise ValueError(f"data_dir: {where}: {name} must be a number, not {text[:40]!r}")
    return number
