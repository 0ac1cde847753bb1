"""The exports of a run: what would refuse them, asked at the start, and all of them at the end."""

from __future__ import annotations

import contextlib
import json
import math
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import keras
import numpy as np
import tensorflow as tf
from absl import logging

from tfdistill import export
from tfdistill.bounds import ArgumentError
from tfdistill.data import Reading
from tfdistill.data.reading import encoded_images
from tfdistill.data.transforms.decoding import evaluated
from tfdistill.devices import runtime
from tfdistill.export.encoded import BadImages
from tfdistill.export.folders import FolderError, first_line, versions
from tfdistill.export.serving import Serving
from tfdistill.runs.best_epoch import ExportedEpoch
from tfdistill.runs.config import RunConfig, differences
from tfdistill.runs.data import RunData
from tfdistill.runs.identity import other_teachers
from tfdistill.runs.mending import mend
from tfdistill.runs.report import network_results
from tfdistill.standalone.calling import words

# Where the image files lie of data sets that may have been read into memory.
FOLDERS = {"image_folder": "*/*/*.*", "voc_folder": "JPEGImages/*.*", "coco_json": "*/*.*"}


@dataclass(frozen=True)
class Exports:
    """What came of the exports of a run.

    Attributes:
        paths: the version of each network that is exported, by the network's name.
        failures: what went wrong with each of the others, in one line.
        command: what exports those later.
    """

    paths: Mapping[str, Path]
    failures: Mapping[str, str] = field(default_factory=dict)
    command: str = ""

    def messages(self) -> list[str]:
        """A line per failure, the last one with the command; empty where all is exported."""
        lines = [f"{name} is not exported: {text}" for name, text in self.failures.items()]
        return [*lines[:-1], *(f"{line}; once that is mended: {self.command}" for line in lines[-1:])]


def served(data: RunData) -> Serving:
    """What the exports of a run are told of its images and classes."""
    return Serving(
        data.normalization.mean,
        data.normalization.std,
        data.class_names,
        served_reading(data),
        cast(BadImages, data.config.export_bad_images),  # the flag's bounds hold it to the choices
    )


def served_reading(data: RunData) -> Reading:
    """How image files are brought to the size of the data set's images: as those it is scored on are.

    Images that lie in memory have been squeezed to the size, or had it from the beginning.
    """
    return data.dataset.test.reading or Reading("resize", max_pixels=data.config.max_pixels)


def own_files(data: RunData, count: int = 4) -> list[bytes]:
    """Some image files of those that the run is scored on; none where they are not files, or gone.

    Args:
        data: the run's.
        count: how many at most.
    """
    config, split, found = data.config, data.dataset.test, []
    if split.on_disk:
        positions = np.unique(np.linspace(0, len(split) - 1, count).astype(int))
        with contextlib.suppress(tf.errors.OpError, OSError):
            found = list(encoded_images(split)(tf.constant(positions)).numpy())
    elif config.data_dir and (pattern := "*/*.*" if config.split else FOLDERS.get(config.dataset)):
        paths = [path for path in sorted(Path(config.data_dir).expanduser().glob(pattern)) if path.is_file()]
        with contextlib.suppress(OSError):
            found = [path.read_bytes() for path in paths[:: max(1, len(paths) // count)][:count]]
    return [one for one in found if _is_readable(one, data)]


def _is_readable(content: bytes, data: RunData) -> bool:
    """Whether TensorFlow itself reads an image; an export reads no others."""
    try:
        evaluated(tf.constant(content), data.image_shape, served_reading(data))
    except tf.errors.OpError:
        return False
    return True


def check_exports(deliverables: Mapping[str, keras.Model], data: RunData) -> None:
    """Refuses, before anything is trained, what `export_all` would refuse at the end; leaves no trace.

    Raises:
        ValueError: names the flag, or what of the run cannot be exported.
    """
    config = data.config
    if not config.export_dir.strip():
        raise ValueError("export_dir: must name a folder, such as saved_models")
    card = _card(config, facts={}, scores={}, exported=ExportedEpoch(config.export_epoch, None, 0))
    try:
        folder = Path(config.export_dir) / config.run_name
        export.check_export(deliverables, folder, served(data), card)
    except ValueError as error:
        raise ArgumentError("export_dir" if isinstance(error, FolderError) else "export", str(error)) from error


def export_all(
    deliverables: Mapping[str, keras.Model],
    data: RunData,
    *,
    rows: Sequence[Mapping[str, Any]],
    exported: ExportedEpoch,
    again: bool = False,
    teachers: Sequence[Mapping[str, Any]] = (),
) -> Exports:
    """Exports every deliverable to `<export_dir>/<run>/<its name>/<version>/`.

    A version of this training and step that is there already stays, and is not written once more unless `again`. One
    that fails leaves nothing of itself, and keeps no other from being exported.

    Args:
        deliverables: the networks by name. What one is `made_of`, where a method has put it together, is in its card.
        data: the run's, with the flags of this export.
        rows: the record of its epochs.
        exported: the epoch whose weights these are.
        again: write a version in any case.
        teachers: what the run says of those that taught it.
    """
    config = data.config
    paths: dict[str, Path] = {}
    failures: dict[str, str] = {}
    results = {
        result["name"]: result for result in network_results(list(deliverables.values()), rows, exported, data.task)
    }
    run_folder = Path(config.export_dir) / config.run_name
    given = {**served(data).arguments(), "samples": own_files(data)}
    for name, network in deliverables.items():
        result = results.get(name, {})
        told = ("last", f"best_{data.task.headline}", "best_epoch", "exported")
        scores: dict[str, Any] = {data.task.headline: {key: result[key] for key in told if key in result}}
        card = _card(config, facts=data.facts(), scores=scores, exported=exported)
        card |= {"teachers": _finite_in(teachers)} if teachers else {}
        card |= {"made_of": dict(network.made_of)} if hasattr(network, "made_of") else {}
        try:
            there = None if again else exported_at(run_folder / name, exported.step, config, teachers)
            paths[name] = there or export.export_network(network, run_folder / name, **given, card=card)
        except Exception as error:  # whatever it is, the other networks and the results are to be kept
            failures[name] = _one_line(error)
    try:
        mend(run_folder)
    except (OSError, ValueError) as error:
        failures["models.config"] = _one_line(error)
    return Exports(paths, failures, later_command(config))


def _card(
    config: RunConfig, *, facts: Mapping[str, Any], scores: Mapping[str, Any], exported: ExportedEpoch
) -> dict[str, Any]:
    return {
        "run": config.run_name,
        "step": exported.step,
        "exported_epoch": _finite(exported.facts()),
        "method": config.method,
        "data": dict(facts),
        **_finite(scores),
        "flags": config.to_dict(),
        "versions": {"tfdistill": runtime.versions()["tfdistill"]},
    }


def _finite(value: Any) -> Any:
    """The same, with None for numbers that JSON has no word for: a loss may have become infinite."""
    if isinstance(value, Mapping):
        return {name: _finite(one) for name, one in value.items()}
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _finite_in(facts: Sequence[Mapping[str, Any]]) -> list[Any]:
    return [_finite(one) for one in facts]


def _one_line(error: Exception) -> str:
    text = first_line(error)
    expected = isinstance(error, export.ExportError | OSError | ValueError)
    return text if expected else f"{type(error).__name__}: {text}"


def later_command(config: RunConfig) -> str:
    """The command that exports a run's networks once it is trained."""
    runs_dir = [] if config.runs_dir == RunConfig.runs_dir else [f"--runs_dir={config.runs_dir}"]
    return shlex.join([*words("export"), f"--run={config.run_name}", *runs_dir])


def exported_at(folder: Path, step: int, config: RunConfig, teachers: Sequence[Mapping[str, Any]] = ()) -> Path | None:
    """The newest version of a network that was exported at `step` of the training that `config` describes.

    None too where that version does otherwise with images that cannot be read than `config` says: the newest is served.

    A version whose card cannot be read may be of any training, so it is passed over with a warning.
    """
    for version in reversed(versions(folder).values()):
        path = version / "model_card.json"
        if not path.is_file():
            continue
        try:
            card = json.loads(path.read_text("utf-8"))
            if card.get("step") != step or "flags" not in card:
                continue
            # Another training may have had the same name and length, its run folder being gone.
            taught = not other_teachers(card.get("teachers", ()), teachers)
            if taught and not differences(card["flags"], config.to_dict()):
                # Exports from before there was a choice fail for a bad image.
                bad_images = card.get("reading", {}).get("bad_images", "fail")
                return version if bad_images == config.export_bad_images else None
        except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
            logging.warning("%s is damaged (%s); its version is taken for another training's", path, _one_line(error))
    return None
