"""A page on a method, made from its code: what it does, builds, trains and can be told."""

from __future__ import annotations

import dataclasses
import inspect
import math
import re
import textwrap
from collections.abc import Callable, Mapping, Sequence

import keras
import numpy as np
import tensorflow as tf

from tfdistill import data, networks
from tfdistill.columns import aligned
from tfdistill.commands.runs_of_method import runs_of
from tfdistill.engine.calendar import Calendar, settings_in
from tfdistill.engine.distiller import Distiller
from tfdistill.engine.updates import Round, Update, Weight
from tfdistill.methods import METHODS
from tfdistill.networks.graphs import trainable_parameters
from tfdistill.optimizers import OptimizerSettings
from tfdistill.runs.building import build_distiller
from tfdistill.runs.config import RunConfig
from tfdistill.runs.data import RunData
from tfdistill.runs.hyperparameters import flag_of, method_declared, takes_teachers
from tfdistill.transfers import TRANSFERS

# Columns of the page, how far a section is indented, and an update within it.
WIDTH, SECTION, UPDATE = 120, 2, 3
CLASSES = 10
TEACHER = "resnet14"
# Networks for photographs refuse the first size.
IMAGE_SIZES = (32, 224)
KIND_NAMES = {"sgd": "SGD", "adam": "Adam", "adamw": "AdamW"}


def page(config: RunConfig) -> str:
    """Everything about `config.method`, as text of 120 columns, on the example of the configured networks.

    Raises:
        ValueError: networks or hyper-parameters that the method refuses.
    """
    distiller, size = example(config)
    introduction, body, source = docstring_parts(method_declared(config.method).documentation)
    title = f"{config.method}: {introduction}"
    sections = [
        ("Paper", _filled(f"{distiller.source}.")),
        ("What it does", body),
        ("Source of the equations, and how they were read", source),
        (f"Networks, for {CLASSES} classes of {size}×{size} pixels (--networks says others)", _networks(distiller)),
        ("Teachers, examples of what --teacher names; nothing moves them", _teachers(distiller)),
        (f"Added to it ({'--links' if config.links else '--also'}), {from_whom(distiller)}", _transfers(config)),
        ("Built beside them for the training only", _helpers(distiller)),
        ("Updates, on every batch", _updates(config, distiller)),
        ("Protocol", _protocol(config, len(distiller.plan))),
        ("Hyper-parameters", _hyperparameters(config)),
        (f"Flagfiles of {config.method} (--flagfile=...), and rows of tables", _flagfiles(config.method)),
    ]
    texts = [title, *(f"{heading}\n{textwrap.indent(text, ' ' * SECTION)}" for heading, text in sections if text)]
    return "\n\n".join(texts)


def docstring_parts(docstring: str) -> tuple[str, str, str]:
    """The first sentence of a docstring, what comes before its arguments, and its source."""
    paragraphs = docstring.split("\n\n")
    sections = [index for index, text in enumerate(paragraphs) if re.match(r"(Args|Raises|Source|Returns):", text)]
    source = docstring.partition("\nSource: ")[2]
    body = [one for one in (paragraphs[1 : sections[0]] if sections else paragraphs[1:]) if not one.startswith(">>>")]
    return paragraphs[0], "\n\n".join(body), source


def example(config: RunConfig) -> tuple[Distiller, int]:
    sizes = (config.image_size,) if config.image_size else IMAGE_SIZES
    for size in sizes:
        images = data.Split.in_memory(np.broadcast_to(np.uint8(0), (CLASSES, size, size, 3)), np.arange(CLASSES))
        source = data.DATASETS["cifar100"]
        dataset = data.Dataset(
            f"{size}×{size} pixels",
            (size, size, 3),
            tuple(str(label) for label in range(CLASSES)),
            images,
            images,
            data.NORMALIZATIONS[source.normalization],
            source.augmentation,
        )
        wanted = max(len(config.teacher), int(takes_teachers(config.method)))
        teachers = [
            networks.build(TEACHER, classes=CLASSES, image_shape=dataset.image_shape, model_name=f"teacher{number}")
            for number in range(1, wanted + 1)
        ]
        try:
            return build_distiller(RunData(config, dataset), tf.distribute.get_strategy(), teachers), size
        except ValueError:
            if size == sizes[-1]:
                raise
    raise AssertionError("there is a size")


def _networks(distiller: Distiller) -> str:
    text = _counted(distiller.networks)
    if distiller.rebuilds_networks:
        delivered = ", ".join(_with_count(model) for model in distiller.deliverables().values())
        text += "\n" + _filled(f"made of the networks given; exported: {delivered}")
    return text


def _teachers(distiller: Distiller) -> str:
    return _counted(distiller.teachers) if distiller.teachers else ""


def from_whom(distiller: Distiller) -> str:
    """Who the sources of transfers are that are added to a method."""
    if distiller.trains_in_turn:
        return "each network from the one before it"
    return "from the teachers" if distiller.teachers else "between all networks, each from every other"


def _transfers(config: RunConfig) -> str:
    texts = []
    for name in config.transfers:
        transfer = TRANSFERS[name]
        introduction, body, source = docstring_parts(inspect.getdoc(transfer) or "")
        parts = (f"{name}: {introduction}", body, f"Source: {source}" if source else "")
        texts.append("\n".join(part for part in parts if part))
    return "\n\n".join(texts)


def _helpers(distiller: Distiller) -> str:
    if not distiller.helpers:
        return "nothing"
    helpers = list(distiller.helpers.values())
    own, whole = trainable_parameters(helpers), trainable_parameters(distiller.networks)
    return f"{_counted(helpers)}\ntogether {own:,}; the networks {whole:,}"


def _counted(models: Sequence[keras.Model]) -> str:
    rows = [(model.name, f"{trainable_parameters([model]):,} parameters") for model in models]
    return "\n".join(aligned(rows, right={1}))


def _with_count(model: keras.Model) -> str:
    return f"{model.name} ({trainable_parameters([model]):,})"


# --- the table of updates


def _updates(config: RunConfig, distiller: Distiller) -> str:
    settings = config.optimizers(distiller.recipe)
    calendar = Calendar.of(distiller.plan, config.planned_epochs)
    texts = []
    for place, phase in enumerate(distiller.plan):
        begins, end = calendar.begins[place], calendar.begins[place] + calendar.lengths[place]
        if len(distiller.plan) > 1:
            texts.append(f"phase {phase.name!r}, epochs {begins} to {end - 1}")
        described = {name: described_in(distiller, calendar, place, one) for name, one in settings.items()}
        epochs = (calendar.ramp_begins[place], end)
        texts += [
            _round(this_round, number, len(phase.rounds), described, epochs)
            for number, this_round in enumerate(phase.rounds, start=1)
        ]
        trainable = [one for one in (*distiller.networks, *distiller.helpers.values()) if one.trainable_variables]
        if frozen := [model.name for model in trainable if not phase.moves(model)]:
            texts.append(_filled(f"frozen: {', '.join(frozen)}"))
    return "\n".join(texts)


def _round(this_round: Round, number: int, rounds: int, settings: Mapping[str, str], epochs: tuple[int, int]) -> str:
    together = "all gradients, then the steps in this order" if len(this_round.updates) > 1 else "then a step"
    prefix = f"{number}. " if rounds > 1 else ""
    lines = [f"{prefix}a forward pass of all networks, {together}:"]
    for update in this_round.updates:
        lines.append(textwrap.indent(_update(update, settings[update.group], epochs), " " * UPDATE))
    return "\n".join(lines)


def _update(update: Update, settings: str, epochs: tuple[int, int]) -> str:
    models = ", ".join(_with_count(model) for model in update.models)
    if len(update.models) > 1:
        models += f"; together {trainable_parameters(update.models):,}"
    terms = " + ".join(f"{_number(weight)} {name}" for name, weight in update.terms.items())
    ramps: dict[str, list[str]] = {}
    for name, weight in update.terms.items():
        if callable(weight):
            ramps.setdefault(_ramp(weight, epochs), []).append(name)
    said = [("ramp of", f"{', '.join(names)}: {ramp}") for ramp, names in ramps.items()]
    rows = [("minimises", terms), *said, ("moves", models)]
    rows.append(("with", f"{settings} [{update.group}]"))
    lines = [_filled(text, " " * 13, f"  {label:<9}  ", WIDTH - SECTION - UPDATE) for label, text in rows]
    return "\n".join([update.name, *lines])


def _number(weight: Weight) -> str:
    return "ramp ·" if callable(weight) else f"{weight:g} ·"


def _ramp(weight: Callable, epochs: tuple[int, int]) -> str:
    begins, end = epochs
    looked_at = np.unique(np.linspace(0, end - begins - 1, 6).round())
    values = [f"{float(weight(tf.constant(epoch, tf.float32))):.3g}" for epoch in looked_at]
    return f"{', '.join(values)} at epochs {', '.join(f'{begins + epoch:g}' for epoch in looked_at)}"


def described_in(distiller: Distiller, calendar: Calendar, place: int, settings: OptimizerSettings) -> str:
    """What `describe` says of settings in the phase at a place of the plan: with the epochs at which its rate drops.

    They are epochs of the run, as its record counts them from 0; in a chain those of a link, as every link has its own.
    """
    begins, length = calendar.begins[place] - calendar.link_begins[place], calendar.lengths[place]
    return describe(settings_in(distiller.plan[place], length, settings), begins, length, distiller.trains_in_turn)


def describe(settings: OptimizerSettings, begins: int = 0, length: float = math.inf, of_links: bool = False) -> str:
    """An optimizer and its schedule in one line; what is at its default and says nothing is left out.

    Args:
        settings: with milestones in epochs from where the schedule begins.
        begins: the epoch at which that is.
        length: epochs that the schedule is followed; a milestone behind is named apart.
        of_links: whether these epochs are those of each link of a chain.
    """
    parts = [f"{KIND_NAMES[settings.kind]}, rate {settings.learning_rate:g}"]
    if settings.kind == "sgd":
        parts.append(f"{'Nesterov ' if settings.nesterov else ''}momentum {settings.momentum:g}")
    parts.append(f"decay {settings.weight_decay:g}" if settings.weight_decay else "no decay")
    if settings.schedule == "step":
        parts.append(f"× {settings.factor:g} {_drops(settings.milestones, begins, length, of_links)}")
    else:
        parts.append(f"{settings.schedule} rate")
    said = {"kind", "learning_rate", "momentum", "nesterov", "weight_decay", "schedule", "factor", "milestones", "span"}
    for one in dataclasses.fields(OptimizerSettings):
        value = getattr(settings, one.name)
        if one.name not in said and value != one.default:
            parts.append(one.name.replace("_", " ") + ("" if value is True else f" {_plain(value)}"))
    return ", ".join(parts)


def _drops(milestones: Sequence[float], begins: int, length: float, of_links: bool) -> str:
    reached, beyond = (
        ", ".join(f"{begins + one:g}" for one in milestones if (one < length) == before) for before in (True, False)
    )
    whose = " of each link" if of_links else ""
    late = f"beyond the end: {beyond}{whose}"
    if not reached:
        return f"never ({late})"
    return f"at epochs {reached}{whose}" + (f" ({late})" if beyond else "")


# --- what it can be told


def _protocol(config: RunConfig, phases: int) -> str:
    protocol = config.chosen_protocol()
    method = METHODS[config.method]
    name = config.protocol or method.protocol
    lines = [
        f"{name}: {protocol.epochs} epochs in batches of {protocol.batch_size}",
        # Phases have schedules of their own, which the updates above tell.
        *([_filled(describe(protocol.settings))] if phases == 1 else []),
        _filled(protocol.source),
    ]
    if method.protocol_note and name == method.protocol:
        lines.append(_filled(method.protocol_note))
    return "\n".join(lines)


def _hyperparameters(config: RunConfig) -> str:
    lines = []
    for name, one in config.known_hyperparameters().items():
        value = config.hyperparameters.get(name, one.default)
        default = "" if value == one.default else f"  (default: {_plain(one.default)})"
        lines.append(f"--{flag_of(config.method, name)}={_plain(value)}{default}")
        lines.append(_filled(one.text, "    "))
    return "\n".join(lines) or "none"


def _plain(value: object) -> str:
    if isinstance(value, tuple):
        return ",".join(map(_plain, value))
    return f"{value:g}" if isinstance(value, float) else str(value).lower() if isinstance(value, bool) else str(value)


def _flagfiles(method: str) -> str:
    return "\n".join(f"{_filled(heading)}\n{_listed(runs)}" for heading, runs in runs_of(method).items())


def _listed(runs: Sequence[tuple[str, str]]) -> str:
    width = max(len(name) for name, _ in runs)
    return "\n".join(_filled(head, " " * (width + 4), f"  {name:<{width}}  ") for name, head in runs)


def _filled(text: str, indent: str = "", first: str | None = None, width: int = WIDTH - SECTION) -> str:
    first = indent if first is None else first
    return textwrap.fill(text, width, initial_indent=first, subsequent_indent=indent, break_on_hyphens=False)
