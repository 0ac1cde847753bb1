"""What a training says of itself before its first step."""

from __future__ import annotations

import math
import os
import shlex
import textwrap
from collections.abc import Iterable, Sequence

import keras
import numpy as np
import tensorflow as tf

from tfdistill.commands.explain import described_in, from_whom
from tfdistill.data import Split
from tfdistill.devices import runtime
from tfdistill.devices.instructions import device_with_bfloat16
from tfdistill.networks.graphs import trainable_parameters
from tfdistill.networks.lower_precision import can_lower
from tfdistill.networks.own_images import described as described_images
from tfdistill.runs.run import Run

WIDTH, LABEL = 120, 12
# Names in a row; the others are counted.
MOST_NAMES = 4


def start_message(run: Run) -> str:
    """Data, networks, updates with their optimizers, length, devices, and where things lie: about a dozen lines.

    Args:
        run: a run that is open, or that has no checkpoint yet.
    """
    rows = [
        ("method", _method(run)),
        ("data", _data(run)),
        ("networks", _models(run.distiller.networks)),
        ("teachers", _teachers(run)),
        ("views", run.views.described() if run.views else ""),
        ("helpers", _helpers(list(run.distiller.helpers.values()))),
        *[("optimizer" if not number else "", text) for number, text in enumerate(_optimizers(run))],
        ("length", _length(run)),
        ("computed", _devices(run)),
        ("run", f"{run.folder.path} (the same command goes on from its checkpoints)"),
        ("kept", run.kept.described()),
        ("exports", os.path.join(run.config.export_dir, run.config.run_name) if run.config.export else "none"),
        ("watch", shlex.join(["tensorboard", f"--logdir={run.folder.logs}"])),
    ]
    lines = [
        textwrap.fill(
            text,
            WIDTH,
            initial_indent=f"{label:<{LABEL}}",
            subsequent_indent=" " * LABEL,
            break_on_hyphens=False,
            break_long_words=False,
        )
        for label, text in rows
        if text
    ]
    return "\n".join(["", *lines, ""])


def class_sizes(labels: np.ndarray, names: Sequence[str]) -> str:
    """How many examples the smallest and the largest class have.

    Args:
        labels: integers [N].
        names: of the classes.
    """
    counts = np.bincount(labels, minlength=len(names))
    fewest, most = int(counts.argmin()), int(counts.argmax())
    if counts[fewest] == counts[most]:
        return f"{counts[most]:,} of each class"
    return f"{counts[fewest]:,} of class {names[fewest]} to {counts[most]:,} of class {names[most]}"


def _data(run: Run) -> str:
    height, width, channels = run.data.image_shape
    names, train = run.data.class_names, run.data.train
    scored = [f"{name} {len(split):,}" for name, split in run.data.monitors.items()]
    kinds = f"{len(names)} classes" if len(names) > 1 else "1 class"
    classes = train.labelled_classes
    objects = f"{len(classes):,} objects, " if train.has_boxes else ""
    return (
        f"{run.data.name}: {kinds}, images of {height}×{width}×{channels}{_stored(train)}; train {len(train):,}: "
        f"{objects}{class_sizes(classes, names)}; {', '.join(scored)}{_unlabelled(run)}"
    )


def _unlabelled(run: Run) -> str:
    found = run.data.unlabelled
    if not found:
        return ""
    source = run.config.unlabelled_dir or "what --train_examples leaves out"
    unread = f", {found.left_out:,} could not be read" if run.config.unlabelled_dir else ""
    return f"; unlabelled {len(found.split):,} ({source}{unread}){_stored(found.split)}"


def _stored(split: Split) -> str:
    return " read from disk" if split.on_disk else ""


def _models(models: Sequence[keras.Model]) -> str:
    return ", ".join(f"{model.name} {trainable_parameters([model]):,}" for model in models) + " parameters"


def _teachers(run: Run) -> str:
    models = run.distiller.teachers
    if not models:
        return ""
    counted = [
        f"{model.name} {model.count_params():,}{f' ({reads})' if (reads := described_images(model)) else ''}"
        for model in models
    ]
    return ", ".join(counted) + f" weights, which nothing moves{_precision_of_teachers(run)}{_ahead(run)}"


def _ahead(run: Run) -> str:
    """Which teachers are asked about the next batch while the networks learn."""
    names = list(run.taps_ahead)
    if not names:
        return ""
    all_of_them = len(names) == len(run.distiller.teachers)
    return f"; asked about the next batch meanwhile{'' if all_of_them else f': {listed(names)}'}"


def _precision_of_teachers(run: Run) -> str:
    """The precision that teachers are asked in, or that they would be asked in faster here."""
    models, device = run.distiller.teachers, device_with_bfloat16()
    if models.lowered:
        unfit = "" if device else ", for which no device here has instructions"
        return f"; maps of {', '.join(models.lowered)} in {run.config.teacher_precision}{unfit}"
    if not device or not any(map(can_lower, models)):
        return ""
    return f"; {device} has bfloat16 instructions: --teacher_precision=bfloat16 asks them faster"


def _method(run: Run) -> str:
    if run.config.links:
        return (
            f"{run.config.method} with {', '.join(run.config.links)}{' at every link' * (len(run.config.links) == 1)}"
        )
    added = f" with {' and '.join(run.config.also)}, {from_whom(run.distiller)}" if run.config.also else ""
    return run.config.method + added


def _helpers(models: Sequence[keras.Model]) -> str:
    if not models:
        return ""
    kept = [variable for model in models if not model.trainable_variables for variable in model.variables]
    size = 4 * sum(math.prod(variable.shape) for variable in kept)
    memory = f"; memories of {size / 1e6:.1f} MB on each replica and in checkpoints" if kept else ""
    return (
        f"{listed(model.name for model in models)}: {trainable_parameters(models):,} parameters, for the training "
        f"alone{memory}"
    )


def listed(names: Iterable[str]) -> str:
    """Names in a row, the last ones of many only counted."""
    shown = list(names)
    if len(shown) > MOST_NAMES + 1:
        shown = [*shown[:MOST_NAMES], f"{len(shown) - MOST_NAMES} others"]
    return ", ".join(shown)


def _optimizers(run: Run) -> list[str]:
    """A text per group of updates with the same rates: who is moved, and by what rule."""
    groups: dict[tuple[str, str], list[str]] = {}
    settings, calendar = run.config.optimizers(run.distiller.recipe), run.distiller.calendar
    for place, phase in enumerate(run.distiller.plan):
        for update in phase.updates():
            text = described_in(run.distiller, calendar, place, settings[update.group])
            names = groups.setdefault((update.group, text), [])
            if update.name not in names:
                names.append(update.name)
    return [f"{text}: {listed(names)}" for (_, text), names in groups.items()]


def _length(run: Run) -> str:
    epochs, steps = run.timetable.epochs, run.timetable.steps_per_epoch
    text = (
        f"{epochs} epoch{'s' * (epochs > 1)} of {steps:,} step{'s' * (steps > 1)} in batches of {run.data.batch_size}"
    )
    if beside := run.data.unlabelled_batch_size:
        text += f" and {beside} unlabelled"
    if len(plan := run.distiller.plan) > 1:
        lengths = run.distiller.calendar.lengths
        phases = [f"{one.name} {length}" for one, length in zip(plan, lengths, strict=True)]
        text += f", in phases: {', '.join(phases)}"
    if run.timetable.total_steps < run.timetable.planned_steps:
        text += f", stopped at step {run.timetable.total_steps:,} by --steps"
    done = run.distiller.steps_trained
    return f"{text}; {done:,} steps are done" if done else text


def _devices(run: Run) -> str:
    replicas, workers = run.strategy.num_replicas_in_sync, run.workers.count
    gpus = tf.config.list_physical_devices("GPU")
    name = f"{os.cpu_count()} processor cores"
    if gpus and len(gpus) >= replicas // workers:
        name = tf.config.experimental.get_device_details(gpus[0]).get("device_name", "GPU")
    counted = [f"{count} {word}" for count, word in ((workers, "workers"), (replicas, "replicas")) if count > 1]
    return ", ".join([*counted, name, _precision(run), f"seed {run.config.seed}"])


def _precision(run: Run) -> str:
    """The number format, and that of products where it is another."""
    if run.config.products == "float32":
        return run.config.precision
    why = runtime.why_products_stay()
    return f"{run.config.precision} with products in {run.config.products}{f' (no difference: {why})' if why else ''}"
