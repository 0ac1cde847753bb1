"""Image files for `predict.py`: finding them in folders, and their content as an exported network reads it."""

import contextlib
import io
import os
import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import numpy as np
import tensorflow as tf

try:
    from PIL import Image, ImageOps
except ImportError:
    Image = None  # type: ignore[assignment]

# All that a training on image folders takes, and what phones write.
EXTENSIONS = (
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".apng", ".bmp", ".dib", ".gif", ".webp", ".tif", ".tiff", ".avif"),
    *(".jp2", ".j2k", ".jpx", ".ppm", ".pgm", ".pbm", ".pnm", ".tga", ".pcx", ".ico", ".qoi", ".psd"),
    *(".heic", ".heif", ".jxl"),
)
# What Pillow may try: pictures that need no other program (as EPS does).
FORMATS = (
    *("JPEG", "PNG", "GIF", "BMP", "DIB", "WEBP", "TIFF", "AVIF", "JPEG2000", "PPM", "TGA", "PCX", "ICO", "QOI"),
    *("SGI", "DDS", "PSD", "XBM", "XPM"),
)
# What the network decodes itself, by its first bytes.
DECODED = re.compile(rb"\xff\xd8\xff|\x89PNG\r\n\x1a\n|GIF8|BM|RIFF....WEBP", re.DOTALL)


class Unreadable(ValueError):
    """A file that is passed over; the message says why, without its name."""


def image_files(paths: Iterable[Path], passed_over: Callable[[Path, str], None]) -> Iterator[Path]:
    """The files among `paths`, and those below its folders that have an image's extension."""
    for path in paths:
        if not path.is_dir():
            yield path
            continue
        unreadable: list[OSError] = []
        for folder, folders, files in os.walk(path, onerror=unreadable.append):
            folders[:] = sorted(name for name in folders if not name.startswith("."))
            for name in sorted(files):
                if not name.startswith(".") and name.lower().endswith(EXTENSIONS):
                    yield Path(folder, name)
                elif not name.startswith("."):
                    passed_over(Path(folder, name), "")
        for error in unreadable:
            passed_over(Path(error.filename), error.strerror or str(error))


def image_bytes(path: Path, max_pixels: int, made: str) -> bytes:
    """A file's content, or an image of the format `made` where the network does not decode its own."""
    if not path.exists():
        raise Unreadable("there is no such file")
    if not path.is_file():
        raise Unreadable("it is no file")
    content = path.read_bytes()
    if not DECODED.match(content):
        return converted(content, max_pixels, made)
    height, width = claimed_size(content)
    require_few(height, width, max_pixels)
    return content


def claimed_size(content: bytes) -> tuple[int, int]:
    """Height and width by the header of a JPEG, PNG, GIF or BMP; (0, 0) where it does not say."""
    with contextlib.suppress(tf.errors.OpError):
        if content.startswith(b"\xff\xd8"):
            height, width, _ = tf.image.extract_jpeg_shape(content).numpy()
            return int(height), int(width)
    if content.startswith(b"\x89PNG"):
        return int.from_bytes(content[20:24], "big"), int.from_bytes(content[16:20], "big")
    if content.startswith(b"GIF8"):
        return int.from_bytes(content[8:10], "little"), int.from_bytes(content[6:8], "little")
    if content.startswith(b"BM"):
        height, width = (int.from_bytes(content[at : at + 4], "little", signed=True) for at in (22, 18))
        return abs(height), abs(width)
    return 0, 0


def require_few(height: int, width: int, max_pixels: int) -> None:
    """Refuses an image by its header, before memory is taken for its pixels."""
    if max_pixels and height * width > max_pixels:
        raise Unreadable(f"its {height} x {width} pixels are more than --max_pixels={max_pixels}")


def converted(content: bytes, max_pixels: int, made: str) -> bytes:
    """An image that Pillow reads as one that the network does: upright, RGB, 8 bits, the first one of several.

    Args:
        content: the file's.
        max_pixels: more are refused by the header; 0 for any number.
        made: "bmp", which exports decode to the same greys as evaluation, or "png", which older ones need.
    """
    written = io.BytesIO()
    opened(content, max_pixels).save(written, made)
    return written.getvalue()


def pixels_of(content: bytes, max_pixels: int) -> np.ndarray:
    """The same as pixels, uint8 [height, width, 3]."""
    return np.asarray(opened(content, max_pixels))


def opened(content: bytes, max_pixels: int) -> "Image.Image":
    """An image that Pillow reads, upright, RGB of 8 bits; arguments as of `converted`."""
    if Image is None:
        raise Unreadable("it is no JPEG, PNG, GIF, BMP or WebP image; for others install Pillow: pip install Pillow")
    Image.MAX_IMAGE_PIXELS = None  # the limit here is ours
    try:
        with Image.open(io.BytesIO(content), formats=FORMATS) as image:
            require_few(image.height, image.width, max_pixels)
            return eight_bits(ImageOps.exif_transpose(image))
    except Unreadable:
        raise
    except Exception as error:  # damaged files make Pillow's readers fail in every way
        said = "it is no image" if isinstance(error, OSError) else str(error).split("\n")[0]
        raise Unreadable(f"Pillow cannot read it: {said}") from error


def eight_bits(image: "Image.Image") -> "Image.Image":
    """RGB of any image; 16 bits are reduced to 8 by their upper half, as TensorFlow does it."""
    if image.mode == "F":
        raise Unreadable("its pixels are fractions of no known range")
    if not image.mode.startswith("I"):
        return image.convert("RGB")
    values = np.asarray(image).astype(np.int64)
    if values.min(initial=0) < 0 or values.max(initial=0) >= 2**16:
        raise Unreadable("its pixels have more than 16 bits")
    return Image.fromarray((values >> 8).astype(np.uint8)).convert("RGB")


def read(path: Path, max_pixels: int, made: str) -> bytes | Unreadable:
    """A file's image, or why there is none."""
    try:
        return image_bytes(path, max_pixels, made)
    except Unreadable as error:
        return error
    except (OSError, ValueError) as error:
        return Unreadable(getattr(error, "strerror", None) or str(error))


def shown(path: Path) -> str:
    """A file's name on one line, whatever bytes it has."""
    text = os.fsencode(path).decode("utf-8", "backslashreplace")
    return "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in text)
