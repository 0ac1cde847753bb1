"""With which flags a training that has begun may go on, and what to say of the others."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from tfdistill.optimizers import OptimizerSettings
from tfdistill.runs.config import RunConfig, differences
from tfdistill.runs.hyperparameters import trains_in_turn

Recipe: TypeAlias = Callable[..., Mapping[str, OptimizerSettings]]


def training_flags(config: RunConfig) -> dict[str, Any]:
    """The flags that change what is trained, the seed among them: what a checkpoint is known by."""
    values = config.to_dict()
    names = [one.name for one in dataclasses.fields(RunConfig) if one.metadata.get("changes_training")]
    return {**{name: values[name] for name in names}, "hyperparameters": values["hyperparameters"]}


def refusal(old: Mapping[str, Any], config: RunConfig, recipe: Recipe | None = None) -> str:
    """Why a training with the flags `old` cannot go on with those of `config`; empty if it can.

    Args:
        old: `training_flags` or `RunConfig.to_dict` of what was trained.
        config: the new flags.
        recipe: `Distiller.recipe` of the method, where it is there already: a run's length may move helpers' rates.

    Returns:
        Each flag with its old and its new value, in one line, and of the epochs why they cannot change.
    """
    new = config.to_dict()
    found = []
    for name in differences(old, new):
        if name == "epochs":
            problem = _why_not_so_long(old, config, recipe)
            said = f"--epochs={config.chosen_protocol().epochs} ({problem})" if problem else ""
        else:
            was, now = (_value(values, name) for values in (old, new))
            said = f"--{name}={now} (it was {was})"
        if said:
            found.append(said)
    return ", ".join(found)


def grows(old: Mapping[str, Any], config: RunConfig) -> bool:
    """Whether the run is to be longer than the flags `old` said."""
    return config.chosen_protocol().epochs > _with_epochs_of(old, config).chosen_protocol().epochs


def _why_not_so_long(old: Mapping[str, Any], config: RunConfig, recipe: Recipe | None) -> str:
    """Why a run's epochs cannot change, or "" where all that was trained would have been the same."""
    before = _with_epochs_of(old, config)
    was, now = before.chosen_protocol().epochs, config.chosen_protocol().epochs
    if now == was:
        return ""
    if trains_in_turn(config.method):
        return f"it was {was}; every network of a chain has as many, so those after the first would begin elsewhere"
    if now < was:
        return f"it was {was}; a run becomes no shorter, --steps stops it earlier"
    for one, other in zip(_settings(before, recipe), _settings(config, recipe), strict=True):
        if one.schedule == "cosine":
            return f"it was {was}; a cosine schedule ends with the run, so every rate would have been another"
        if one != other:
            return f"it was {was}; the milestones would move{_from_to(one, other, config)}, and with them past rates"
    return ""


def _from_to(one: OptimizerSettings, other: OptimizerSettings, config: RunConfig) -> str:
    """From which epochs to which; nothing where a preparation, which is not known here, moves both."""
    known, given = config.known_hyperparameters(), config.hyperparameters
    if any(name.endswith("preparation_epochs") and given.get(name, known[name].default) for name in known):
        return ""
    where = [",".join(f"{milestone:g}" for milestone in settings.milestones) for settings in (one, other)]
    return f" from {' to '.join(where)}"


def _settings(config: RunConfig, recipe: Recipe | None) -> list[OptimizerSettings]:
    return list(config.optimizers(recipe).values()) if recipe else [config.chosen_protocol().settings]


def _with_epochs_of(old: Mapping[str, Any], config: RunConfig) -> RunConfig:
    return dataclasses.replace(config, epochs=old.get("epochs", config.epochs))


def _hyperparameter(values: Mapping[str, Any], flag: str) -> Any:
    found = values["hyperparameters"]
    return found.get(flag, found.get(flag.split(".", 1)[1]))


def _value(values: Mapping[str, Any], name: str) -> str:
    fields = {one.name: one.default for one in dataclasses.fields(RunConfig)}
    value = values.get(name, fields[name]) if name in fields else _hyperparameter(values, name)
    return ",".join(map(str, value)) if isinstance(value, tuple | list) else str(value)
