"""absl flags by kind, each with its bounds: one wording for all that is wrong with a value."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, get_args, get_origin

from absl import flags

from tfdistill.bounds import Bounds, check, described, number, shown, without_none


@dataclass(frozen=True)
class Description:
    """What help says of a flag.

    Attributes:
        group: the heading that it stands below.
        text: whole sentences.
        kind: its type.
        bounds: of the value, or of each element of a list.
        default: its value where it is not given.
        unset: what a default of 0, "" or None stands for.
        value: what is written for a value, such as FOLDER; made from kind and bounds if empty.
    """

    group: str
    text: str
    kind: Any
    bounds: Bounds | None
    default: Any
    unset: str
    value: str


class Flags(flags.FlagValues):
    """The flags of a command, which know what help says of them.

    Attributes:
        descriptions: by the flag's name, in the order of help.
    """

    descriptions: dict[str, Description]

    def __init__(self) -> None:
        super().__init__()
        self.__dict__["descriptions"] = {}  # absl takes other ways of setting for those of a flag


def define(
    values: Flags,
    name: str,
    default: Any,
    kind: Any,
    text: str,
    bounds: Bounds | None = None,
    *,
    group: str,
    unset: str = "",
    value: str = "",
) -> None:
    """Defines a flag that refuses values of another kind or out of bounds when it is parsed.

    Args:
        values: where it is defined.
        name: the flag's.
        default: its value where it is not given.
        kind: bool, int, float, str or a tuple of float or str, each possibly `| None`.
        text: what its help says, in whole sentences; bounds and default are added to it.
        bounds: of the value, or of each element of a list. `described` and `check` say what they mean.
        group: the heading that help puts it below.
        unset: what a default of 0, "" or None stands for, such as "the protocol's".
        value: what help writes for a value, such as FOLDER; made from kind and bounds if empty.
    """
    values.descriptions[name] = Description(group, text, kind, bounds, default, unset, value)
    bare, _ = without_none(kind)
    if bare is bool:
        flags.DEFINE_bool(name, default, text, flag_values=values, short_name="h" if name == "help" else None)
        return
    is_list = get_origin(bare) is tuple
    parser: flags.ArgumentParser = _ListOf(name, bare, bounds) if is_list else _One(name, bare, bounds)
    serializer = flags.CsvListSerializer(",") if is_list else flags.ArgumentSerializer()
    flags.DEFINE(parser, name, list(default) if is_list and default is not None else default, text, values, serializer)


class _One(flags.ArgumentParser):
    """Parses a single value."""

    def __init__(self, name: str, kind: Any, bounds: Bounds | None) -> None:
        self.name, self.kind, self.bounds = name, kind, bounds

    def parse(self, argument: Any) -> Any:
        value = number(argument, self.kind) if self.kind in (int, float) and isinstance(argument, str) else argument
        try:
            check(self.name, value, self.kind, self.bounds)
        except ValueError as error:
            raise flags.IllegalFlagValueError(self._message(argument) or str(error)) from None
        return float(value) if self.kind is float else value

    def _message(self, argument: Any) -> str:
        """What is wrong with a number, as it was written; `check` knows only what it was read as."""
        if self.kind not in (int, float):
            return ""
        digits = "; write it in the digits 0 to 9" if isinstance(argument, str) and not argument.isascii() else ""
        return f"{self.name}: must be {described(self.kind, self.bounds)}, not {shown(argument)}{digits}"


class _ListOf(flags.ListParser):
    """Parses a comma-separated list of values of one kind."""

    def __init__(self, name: str, kind: Any, bounds: Bounds | None) -> None:
        super().__init__()
        self.name, self.bounds = name, bounds
        self.element = _One(name, get_args(kind)[0], bounds)

    def parse(self, argument: Any) -> list:
        try:
            texts = super().parse(argument)
        except ValueError:
            raise flags.IllegalFlagValueError(f"{self.name}: {shown(argument)} is no comma-separated list") from None
        return [self.element.parse(text) for text in texts]
