"""Images with boxes as COCO has them: one JSON file a part, and folders of images."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tfdistill.data.dataset import DataUnavailable, Loaded
from tfdistill.data.sets.annotations import Annotated, split_of, warn_of_duplicates
from tfdistill.data.transforms.readings import MAX_PIXELS

TESTS = ("test", "val")
# Corners (top, left, bottom, right) in pixels, name of the class, and whether it is a crowd.
Object = tuple[tuple[float, ...], str, bool]


def load_coco_json(root: str | Path, image_size: int, max_pixels: int = MAX_PIXELS) -> Loaded:
    """Reads `train.json` and `test.json` (or `val.json`), and the images that they name.

    The images of `train.json` lie in `train/`, or in `images/` where there is no such folder; the others likewise. The
    classes are the categories of the training part, in the order of their ids. What `iscrowd` says is a difficult
    object. See `split_of` for bad annotations.

    Args:
        root: the folder with both files.
        image_size: height and width of a batch's images, in pixels, to which whole images are squeezed.
        max_pixels: of an image, at most; 0 for any.

    Raises:
        DataUnavailable: if there is no such folder.
        ValueError: a file is missing or is no JSON of this form, or as of `split_of`; one line names the file.
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
    parts = [_annotated(content, path) for content, path in zip(contents, files, strict=True)]
    train, test = (
        split_of(part, class_names, image_size, max_pixels, str(path)) for part, path in zip(parts, files, strict=True)
    )
    warn_of_duplicates(str(root), *parts)
    return Loaded(train, test, class_names)


def _content(path: Path) -> Mapping[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
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
        return {one["id"]: str(one["name"]) for one in sorted(content["categories"], key=lambda one: one["id"])}
    except (KeyError, TypeError) as error:
        raise ValueError(f"data_dir: {path} has a category without a proper id and name: {error}") from None


def _annotated(content: Mapping[str, Any], path: Path) -> list[Annotated]:
    names = _categories(content, path)
    folder = path.with_suffix("")
    folder = folder if folder.is_dir() else path.parent / "images"
    try:
        files = {one["id"]: folder / one["file_name"] for one in content["images"]}
        sizes = {one["id"]: (one.get("height"), one.get("width")) for one in content["images"]}
    except (KeyError, TypeError, AttributeError):
        raise ValueError(f"data_dir: {path} has an image without a proper id and file_name") from None
    objects: dict[Any, list[Object]] = {image: [] for image in files}
    for number, one in enumerate(content["annotations"], 1):
        where = f"data_dir: {path}: annotation {number}"
        box: tuple[float, ...] = (np.nan,)
        try:
            image, category = one["image_id"], one["category_id"]
            left, top, width, height = (float(side) for side in one["bbox"])
            box = (top, left, top + height, left + width)
        except (KeyError, TypeError, ValueError):
            pass  # said below
        if not np.isfinite(box).all():
            raise ValueError(f"{where} must have an image_id, a category_id and a bbox of four numbers")
        if image not in files or category not in names:
            unknown = f"image {image}" if image not in files else f"category {category}"
            raise ValueError(f"{where} is of the unknown {unknown}")
        objects[image].append((box, names[category], bool(one.get("iscrowd"))))
    return [_image(files[image], found, sizes[image], path) for image, found in objects.items()]


def _image(image: Path, objects: Sequence[Object], size: tuple[Any, Any], path: Path) -> Annotated:
    height, width = size
    return Annotated(
        image,
        str(path),
        np.array([box for box, _, _ in objects], np.float64).reshape(-1, 4),
        [name for _, name, _ in objects],
        [is_crowd for _, _, is_crowd in objects],
        (int(height), int(width)) if height and width else None,
    )
