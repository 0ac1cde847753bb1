"""Flags that a table's every run gets on top of its row's, and what they make of the budget."""

from __future__ import annotations

import dataclasses
import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tfdistill.commands import command_line
from tfdistill.runs.config import RunConfig
from tfdistill.tables.arguments import THE_COMMANDS
from tfdistill.tables.outcome import OF_A_RUN_ALONE

# Overrides that move neither scores nor what is compared: a run's name has no word of them.
UNNAMED = {*OF_A_RUN_ALONE, "check_terms", "strategy", "replicas", "steps_per_execution"}
LONGEST = 80


@dataclass(frozen=True)
class Overrides:
    """Flags of the command line.

    Attributes:
        flags: values as they are written, by name.
    """

    flags: Mapping[str, str] = field(default_factory=dict)

    @property
    def arguments(self) -> tuple[str, ...]:
        """As the training command takes them; exports are left out unless they are asked for."""
        return tuple(f"--{name}={value}" for name, value in ({"export": "false"} | dict(self.flags)).items())

    @property
    def label(self) -> str:
        """Their part of a run's name, such as "epochs2-batch_size64"; empty where none matters to the scores."""
        named = {name: value for name, value in self.flags.items() if name not in UNNAMED}
        plain = "-".join(f"{name}{value}" for name, value in sorted(named.items(), key=_epochs_first))
        label = re.sub(r"[^A-Za-z0-9_.+-]+", "-", plain)
        if label == plain and len(label) <= LONGEST:
            return label
        # What was replaced or cut off must not make two budgets one.
        return f"{label[:LONGEST]}-{hashlib.sha256(plain.encode()).hexdigest()[:8]}"


def overrides_of(told: Iterable[str], epochs: int | None = None) -> Overrides:
    """The overrides of `--set` and `--epochs`.

    Args:
        told: "flag=value" each.
        epochs: of every run; None leaves them.

    Raises:
        ValueError: no flag, one that the command gives itself, one given twice, or a value that it cannot have.
    """
    found = {} if epochs is None else {"epochs": str(epochs)}
    for one in told:
        name, equals, value = one.removeprefix("--").partition("=")
        if not name or not equals:
            raise ValueError(f"set: must be FLAG=VALUE, such as --set batch_size=64, not {one!r}")
        if name in THE_COMMANDS or name == "flagfile":
            raise ValueError(f"set: {name} is the command's to say; leave it out")
        if name in found:
            raise ValueError(f"set: {name} is given twice; give it once")
        found[name] = value
    values = command_line.run_flags()
    for name, value in found.items():
        try:
            command_line.parse(values, [f"--{name}={value}"])
        except ValueError as error:
            raise ValueError(f"set: {error}") from None
    return Overrides(found)


def budget(before: Sequence[RunConfig], after: Sequence[RunConfig], overrides: Overrides) -> list[str]:
    """A line for every override that changes what is trained, such as "epochs: 2 instead of 300".

    Args:
        before: the rows as the table has them.
        after: the same with the overrides.
        overrides: what the command line says.
    """
    lines = []
    for name in sorted((one for one in overrides.flags if one not in UNNAMED), key=lambda name: _epochs_first((name,))):
        pairs = [(_effective(one, name), _effective(two, name)) for one, two in zip(before, after, strict=True)]
        if changed := [pair for pair in pairs if pair[0] != pair[1]]:
            now, was = (", ".join(dict.fromkeys(texts)) for texts in ([p[1] for p in changed], [p[0] for p in changed]))
            lines.append(f"{name}: {now} instead of {was}")
    return lines


def _effective(config: RunConfig, name: str) -> str:
    """A flag's value in words, the protocol's where the flag leaves it to that."""
    protocol = config.chosen_protocol()
    fields = {one.name: one for one in dataclasses.fields(RunConfig)}
    if name in ("epochs", "batch_size"):
        value: Any = getattr(protocol, name)
    elif name in fields:
        value = getattr(config, name)
        value = getattr(protocol.settings, name, None) if value is None else value
    else:
        known = config.to_dict()["hyperparameters"]
        value = known.get(name, known.get(name.partition(".")[2]))
    if value in (None, "", 0, ()) and not isinstance(value, bool):
        return str((name in fields and fields[name].metadata["unset"]) or value)
    return ",".join(map(str, value)) if isinstance(value, tuple | list) else str(value)


def _epochs_first(item: Sequence[str]) -> tuple[bool, str]:
    return item[0] != "epochs", item[0]
