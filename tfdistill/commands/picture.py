"""The command `preview` once its flags are good: a picture of what the networks see, with the labels under it."""

from __future__ import annotations

import dataclasses
import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from absl import flags
from PIL import Image, ImageDraw, ImageFont

from tfdistill.commands import command_line
from tfdistill.data.transforms.usual import pixels_of
from tfdistill.files import write_bytes
from tfdistill.runs.config import RunConfig
from tfdistill.runs.data import RunData
from tfdistill.standalone import drawing
from tfdistill.standalone.calling import program

COLUMNS = 8
# Images with boxes are drawn larger.
BOX_COLUMNS = 4
# Small images are enlarged to at least this many pixels, which leaves their names room.
TILE = 104
LINE, MARGIN = 16, 4

COMMAND = "preview"


def draw(values: flags.FlagValues, config: RunConfig) -> int:
    """Writes the picture. Returns the exit status."""
    with command_line.one_line_errors(program(COMMAND)):
        data = RunData.read(config)
        images, labels = seen(data, step=values.step, count=values.count)
        captions = [caption(label, data.class_names) for label in labels]
        captions += [["unlabelled"]] * (len(images) - len(captions))
        written = io.BytesIO()
        has_boxes = labels.ndim == 3
        shown = with_boxes(images, labels, data.class_names) if has_boxes else images
        grid(shown, captions, BOX_COLUMNS if has_boxes else COLUMNS).save(written, format="PNG")
        write_bytes(Path(values.out), written.getvalue())
    augmentation = ",".join(config.augmentation)
    print(f"{values['out'].value}: {len(images)} images of {data.name} from training step {values['step'].value}")
    if data.unlabelled:
        print(f"the last {len(images) - len(labels)} are of the {len(data.unlabelled.split)} without labels")
    print(f"augmentation {augmentation}, label smoothing {config.label_smoothing}, label noise {config.label_noise}")
    return 0


def seen(data: RunData, *, step: int, count: int) -> tuple[np.ndarray, np.ndarray]:
    """The first images of a run's training step, of the next ones too if its batch has fewer, and their labels.

    Where unlabelled images join the batches, these come last, by the share that they have of a batch.

    Args:
        data: the run's.
        step: from 0.
        count: how many images.

    Returns:
        (images as before normalisation, uint8 [count, H, W, C]; labels of the labelled ones, L of them, int32 [L] or
        float32 [L, K]).

    Raises:
        ValueError: what the run itself would be refused for.
    """
    if not data.config.batch_size and data.batch_size > len(data.train):
        # The protocol's, which small data may be too few for: a run would have to be given one, a look need not.
        data = dataclasses.replace(data, config=dataclasses.replace(data.config, batch_size=len(data.train)))
    data.require_trainable(replicas=1)
    batches = data.training_batches(first_step=step, steps=-(-count // data.batch_size))
    found = list(batches.as_numpy_iterator())
    images, labels = (np.concatenate([batch[name] for batch in found]) for name in ("images", "labels"))
    marks = np.concatenate([batch.get("labelled", np.ones(len(batch["images"]))) for batch in found]) != 0
    without = round(count * (1 - marks.mean()))
    images = np.concatenate([images[marks][: count - without], images[~marks][:without]])
    labels = labels[marks][: count - without]
    return pixels_of(images, data.normalization), labels


def caption(label: np.ndarray, class_names: Sequence[str]) -> list[str]:
    """The class; the two largest of a distribution with their shares: ["cat 70%", "dog 30%"]; or how many objects."""
    if label.ndim == 0:
        return [class_names[int(label)]]
    if label.ndim == 2:
        count, difficult = (int(one.sum()) for one in (label[:, 4] >= 0, (label[:, 4] >= 0) & (label[:, 5] > 0)))
        return [f"{count} object{'' if count == 1 else 's'}" + (f", {difficult} difficult" if difficult else "")]
    largest = np.argsort(-label, kind="stable")[:2]
    return [f"{class_names[int(one)]} {label[one]:.0%}" for one in largest if label[one] >= 0.005]


def with_boxes(images: np.ndarray, labels: np.ndarray, class_names: Sequence[str]) -> np.ndarray:
    """The images with their objects drawn on them, larger where they were small; what has no labels gets no boxes."""
    nothing = np.full([len(images) - len(labels), *labels.shape[1:]], -1, labels.dtype)
    rows = zip(images, np.concatenate([labels, nothing]), strict=True)
    return np.stack([drawing.draw_objects(image, objects, class_names) for image, objects in rows])


def grid(images: np.ndarray, captions: Sequence[Sequence[str]], columns: int = COLUMNS) -> Image.Image:
    """Images in rows, lines of text below each.

    Args:
        images: uint8 [N, H, W, C], C of 1 or 3, N of 1 or more.
        captions: lines of text [N]; a line that is wider than its image is cut short.
        columns: how many stand in a row.
    """
    height, width = images.shape[1:3]
    scale = -(-TILE // width)
    across, down = scale * width, scale * height + LINE * max(map(len, captions))
    columns = min(columns, len(images))
    rows = -(-len(images) // columns)
    sheet = Image.new("RGB", (columns * (across + MARGIN) + MARGIN, rows * (down + MARGIN) + MARGIN), "white")
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(size=12)
    for index, (pixels, lines) in enumerate(zip(images, captions, strict=True)):
        left = MARGIN + index % columns * (across + MARGIN)
        top = MARGIN + index // columns * (down + MARGIN)
        tile = Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels)
        sheet.paste(tile.resize((across, scale * height), Image.Resampling.NEAREST), (left, top))
        for number, line in enumerate(lines):
            place = (left, top + scale * height + number * LINE)
            draw.text(place, drawing.fitted(line, across, draw, font), "black", font)
    return sheet
