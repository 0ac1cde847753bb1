"""Images with boxes in the folders and files of Pascal VOC, of any classes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
from absl import logging

from tfdistill.bounds import shown
from tfdistill.data.dataset import DataUnavailable, Loaded
from tfdistill.data.sets.annotations import Annotated, loaded_of
from tfdistill.data.sets.image_files import EXTENSIONS
from tfdistill.data.transforms.readings import MAX_PIXELS

TRAIN_LISTS, TEST_LISTS = ("trainval", "train"), ("test", "val")
# How tools write whether an object is difficult.
DIFFICULT = {"1": True, "true": True, "": False, "0": False, "false": False, "unspecified": False}


def load_voc_folder(root: str | Path, image_size: int, max_pixels: int = MAX_PIXELS) -> Loaded:
    """Reads `Annotations/*.xml`, `JPEGImages/` and the lists `ImageSets/Main/*.txt`.

    Trained on is what `trainval.txt` names, or `train.txt` where there is none; tested on what `test.txt` names, or
    `val.txt`. A line of a list is an image's name; what stands behind it is passed over, as in VOC's lists of one
    class. The classes are those of the training part, in the order of their names. Coordinates are VOC's: whole pixels
    counted from 1, of which the last belongs to the object. See `loaded_of` for bad annotations.

    Args:
        root: the folder.
        image_size: height and width of a batch's images, in pixels, to which whole images are squeezed.
        max_pixels: of an image, at most; 0 for any.

    Raises:
        DataUnavailable: if there is no such folder.
        ValueError: a list or a file is missing or is none, or as of `loaded_of`; one line names the file.
    """
    root = Path(root).expanduser()
    if not root.is_dir():
        raise DataUnavailable(f"data_dir: {root} is no folder; voc_folder needs one with Annotations and JPEGImages")
    lists = [_list_in(root, names) for names in (TRAIN_LISTS, TEST_LISTS)]
    images = _images_in(root / "JPEGImages")
    parts = {source: [_annotated(root, name, source, images) for name in _names_in(root, source)] for source in lists}
    unused = root / "ImageSets" / "Main" / "val.txt"
    if [source.stem for source in lists] == ["train", "test"] and unused.is_file():
        logging.warning("%s is neither trained nor scored on; a trainval.txt trains on both", unused)
    class_names = sorted({name for image in parts[lists[0]] for name in image.classes})
    if not class_names:
        raise ValueError(f"data_dir: no image of {lists[0]} has an object to train on")
    return loaded_of(root, parts, class_names, image_size, max_pixels)


def _list_in(root: Path, names: Sequence[str]) -> Path:
    paths = [root / "ImageSets" / "Main" / f"{name}.txt" for name in names]
    found = next((path for path in paths if path.is_file()), None)
    if found is None:
        raise ValueError(f"data_dir: there is neither {paths[0]} nor {paths[1].name} beside it")
    return found


def _names_in(root: Path, source: Path) -> list[str]:
    """The names in a list, each once."""
    try:
        lines = [line.strip() for line in source.read_text(encoding="utf-8-sig").splitlines() if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"data_dir: {source} cannot be read: {error}") from None
    if wrong := next((line for line in lines if not line.replace("\t", " ").isprintable()), None):
        raise ValueError(f"data_dir: {source} has a line that is no name: {shown(wrong)}")
    # A name may have spaces itself.
    names = [line if (root / "Annotations" / f"{line}.xml").is_file() else line.split()[0] for line in lines]
    once = list(dict.fromkeys(names))
    if len(once) < len(names):
        logging.warning("%s names images several times, which are taken once: %d lines", source, len(names) - len(once))
    return once


def _images_in(folder: Path) -> dict[str, Path]:
    """The images of a folder by their names without endings; of several of one name that whose ending comes first."""
    found = [path for path in sorted(folder.iterdir()) if path.suffix.lower() in EXTENSIONS] if folder.is_dir() else []
    found.sort(key=lambda path: EXTENSIONS.index(path.suffix.lower()), reverse=True)
    return {path.stem: path for path in found}


def _annotated(root: Path, name: str, source: Path, images: Mapping[str, Path]) -> Annotated:
    path = root / "Annotations" / f"{name}.xml"
    try:
        tree = ElementTree.parse(path).getroot()
    except FileNotFoundError:
        raise ValueError(f"data_dir: {source} names {name}, and there is no {path}") from None
    except (OSError, ElementTree.ParseError, ValueError, LookupError) as error:
        raise ValueError(f"data_dir: {path} is no XML: {' '.join(str(error).split())}") from None
    if tree.tag != "annotation":
        raise ValueError(f"data_dir: {path} is no annotation of VOC: it begins with <{shown(tree.tag)}>")
    image = images.get(name)
    if image is None:
        raise ValueError(f"data_dir: {path} is about {root / 'JPEGImages' / name}.jpg, which is not there")
    boxes, classes, difficult = [], [], []
    for number, one in enumerate(tree.iterfind("object"), 1):
        where = f"{path}: object {number}"
        left, top, right, bottom = (_number(one, f"bndbox/{edge}", where) for edge in ("xmin", "ymin", "xmax", "ymax"))
        # Pixels are counted from 1, and the last one is the object's.
        boxes.append((top - 1, left - 1, bottom, right))
        classes.append(_text(one, "name", where))
        difficult.append(_is_difficult(one, where))
    return Annotated(
        image,
        str(path),
        np.array(boxes, np.float64).reshape(-1, 4),
        classes,
        difficult,
        _size_in(tree, path),
    )


def _is_difficult(tree: ElementTree.Element, where: str) -> bool:
    text = (tree.findtext("difficult") or "").strip()
    if text.lower() not in DIFFICULT:
        raise ValueError(f"data_dir: {where}: difficult must be 0 or 1, not {shown(text)}")
    return DIFFICULT[text.lower()]


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
        raise ValueError(f"data_dir: {where}: {name} must be a number, not {shown(text)}")
    return number
