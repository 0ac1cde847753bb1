"""Images with boxes as COCO has them: one JSON file a part, and folders of images."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from absl import logging

from tfdistill.bounds import shown
from tfdistill.data.dataset import DataUnavailable, Loaded
from tfdistill.data.sets.annotations import Annotated, loaded_of
from tfdistill.data.transforms.readings import MAX_PIXELS

TESTS = ("test", "val")
# Pixels of a side that nothing has.
LONGEST = 1e9
# Corners (top, left, bottom, right) in pixels, name of the class, and whether it is a crowd.
Object = tuple[tuple[float, ...], str, bool]


def load_coco_json(root: str | Path, image_size: int, max_pixels: int = MAX_PIXELS) -> Loaded:
    """Reads `train.json` and `test.json` (or `val.json`), and the images that they name.

    The images of `train.json` lie in `train/`, or in `images/` where there is no such folder; the others likewise. The
    classes are the categories of the training part, in the order of their ids. What `iscrowd` says is a difficult
    object. See `loaded_of` for bad annotations.

    Args:
        root: the folder with both files.
        image_size: height and width of a batch's images, in pixels, to which whole images are squeezed.
        max_pixels: of an image, at most; 0 for any.

    Raises:
        DataUnavailable: if there is no such folder.
        ValueError: a file is missing or is no JSON of this form, or as of `loaded_of`; one line names the file.
    """
    root = Path(root).expanduser()
    if not root.is_dir():
        raise DataUnavailable(f"data_dir: {root} is no folder; coco_json needs one with train.json and test.json")
    tests = [root / f"{name}.json" for name in TESTS]
    files = [root / "train.json", next((path for path in tests if path.is_file()), tests[0])]
    contents = [_content(path) for path in files]
    class_names = tuple(_categories(contents[0], files[0]).values())
    if not class_names:
        raise ValueError(f"data_dir: {files[0]} has no categories")
    if files[1].stem == TESTS[0] and tests[1].is_file():
        logging.warning("%s is neither trained nor scored on", tests[1])
    parts = {path: _annotated(content, path) for content, path in zip(contents, files, strict=True)}
    return loaded_of(root, parts, class_names, image_size, max_pixels)


def _content(path: Path) -> Mapping[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8-sig"))
    except FileNotFoundError:
        raise ValueError(f"data_dir: there is no {path}") from None
    except (OSError, ValueError, RecursionError) as error:
        raise ValueError(f"data_dir: {path} is no JSON: {' '.join(str(error).split())[:200]}") from None
    for name in ("images", "annotations", "categories"):
        if not isinstance(content, dict) or not isinstance(content.get(name), list):
            raise ValueError(f"data_dir: {path} has no list {name!r}, as COCO's files have")
    return content


def _categories(content: Mapping[str, Any], path: Path) -> dict[Any, str]:
    """From ids to names, in the order of the ids."""
    try:
        ordered = sorted(content["categories"], key=lambda one: one["id"])
        pairs = [(one["id"], _text(one["name"])) for one in ordered]
        _require_once([one for one, _ in pairs], path, "category")
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"data_dir: {path} has a category without a proper id and name: {error}") from None
    names = [name for _, name in pairs]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise ValueError(f"data_dir: {path} has two categories of the name {shown(twice)}")
    return dict(pairs)


def _require_once(ids: Sequence[Any], path: Path, kind: str) -> None:
    seen: set[Any] = set()
    for one in ids:
        if one in seen:
            raise ValueError(f"data_dir: {path} has two {kind} entries of the id {shown(one)}")
        seen.add(one)


def _annotated(content: Mapping[str, Any], path: Path) -> list[Annotated]:
    names = _categories(content, path)
    folder = path.with_suffix("")
    folder = folder if folder.is_dir() else path.parent / "images"
    try:
        entries = [(one["id"], folder / _text(one["file_name"]), _size(one)) for one in content["images"]]
        _require_once([one for one, _, _ in entries], path, "image")
    except (KeyError, TypeError, AttributeError):
        raise ValueError(
            f"data_dir: {path} has an image without a proper id and file_name, or with a height and width that are no "
            "numbers of pixels"
        ) from None
    objects: dict[Any, list[Object]] = {image: [] for image, _, _ in entries}
    for number, one in enumerate(content["annotations"], 1):
        where = f"data_dir: {path}: annotation {number}"
        box = _box(one)
        if box is None:
            raise ValueError(f"{where} must have an image_id, a category_id and a bbox of four numbers")
        image, category = one["image_id"], one["category_id"]
        for kind, name, known in (("image", image, objects), ("category", category, names)):
            if not isinstance(name, (int, float, str)) or name not in known:
                raise ValueError(f"{where} is of the unknown {kind} {shown(name)}")
        objects[image].append((box, names[category], bool(one.get("iscrowd"))))
    return [_image(file, objects[image], size, path) for image, file, size in entries]


def _text(value: Any) -> str:
    if not isinstance(value, (str, int)) or not str(value).isprintable():
        raise TypeError(f"{shown(value)} is no text")
    return str(value)


def _box(one: Any) -> tuple[float, ...] | None:
    """(top, left, bottom, right) of an annotation; None where it is none."""
    if not isinstance(one, dict) or not {"image_id", "category_id", "bbox"} <= set(one):
        return None
    sides = one["bbox"]
    if not isinstance(sides, list) or len(sides) != 4 or not all(type(side) in (int, float) for side in sides):
        return None
    try:
        left, top, width, height = map(float, sides)
    except OverflowError:
        return None
    box = (top, left, top + height, left + width)
    return box if all(map(math.isfinite, box)) else None


def _size(one: Mapping[str, Any]) -> tuple[int, int] | None:
    """Height and width of an image's entry; None where they are not written, or as 0.

    Raises:
        TypeError: they are no numbers of pixels.
    """
    height, width = one.get("height"), one.get("width")
    if not height or not width:
        return None
    if not all(type(side) in (int, float) and 0 < side < LONGEST for side in (height, width)):
        raise TypeError("no pixels")
    return int(height), int(width)


def _image(image: Path, objects: Sequence[Object], size: tuple[int, int] | None, path: Path) -> Annotated:
    return Annotated(
        image,
        str(path),
        np.array([box for box, _, _ in objects], np.float64).reshape(-1, 4),
        [name for _, name, _ in objects],
        [is_crowd for _, _, is_crowd in objects],
        size,
    )
