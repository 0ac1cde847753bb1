"""What a value may be, stated once: flags, fields and arguments are checked against it, and help is made from it."""

from __future__ import annotations

import difflib
import functools
import inspect
import numbers
from collections.abc import Callable, Collection, Iterable, Mapping, Sized
from dataclasses import dataclass
from typing import Annotated, Any, Literal, ParamSpec, TypeVar, get_args, get_origin, get_type_hints

T = TypeVar("T")
P = ParamSpec("P")
# A float32 holds it and its square, which is what temperatures and norms become.
LARGEST = 1e18
LONGEST_SHOWN = 80


@dataclass(frozen=True)
class Number:
    """From `least` to `largest`, both finite.

    Args:
        least: the smallest value.
        largest: the largest.
        above: whether `least` itself is excluded.
        below: whether `largest` is.
    """

    least: float = -LARGEST
    largest: float = LARGEST
    above: bool = False
    below: bool = False

    def __str__(self) -> str:
        excluded = [_written(end) for end, out in ((self.least, self.above), (self.largest, self.below)) if out]
        tail = f" ({' and '.join(excluded)} excluded)" if excluded else ""
        return f"in {_written(self.least)}..{_written(self.largest)}{tail}"

    def admits(self, value: float) -> bool:
        """Whether the value is within; NaN never is."""
        low = value > self.least if self.above else value >= self.least
        high = value < self.largest if self.below else value <= self.largest
        return low and high


@dataclass(frozen=True)
class Choice:
    """One of some names."""

    names: tuple[str, ...]

    def __str__(self) -> str:
        return f"{', '.join(self.names[:-1])} or {self.names[-1]}" if len(self.names) > 1 else self.names[0]


def one_of(names: Iterable[str]) -> Choice:
    """The choice among names, or among a dict's keys."""
    return Choice(tuple(names))


@dataclass(frozen=True)
class Filled:
    """Text that is not empty.

    Args:
        what: what it is, such as "a folder".
    """

    what: str

    def __str__(self) -> str:
        return self.what


Bounds = Number | Choice | Filled


class ArgumentError(ValueError):
    """A value that an argument cannot have, in one line that begins with the argument's name.

    Args:
        argument: its name, such as "temperature".
        said: what is wrong with the value, and what would be right.

    Attributes:
        argument: its name.
        said: the line without it.
    """

    def __init__(self, argument: str, said: str) -> None:
        super().__init__(f"{argument}: {said}")
        self.argument, self.said = argument, said

    def renamed(self, argument: str) -> ArgumentError:
        """The same for whoever knows the argument by another name, such as that of a flag."""
        return ArgumentError(argument, self.said)


def nearest(value: str, names: Iterable[str]) -> str:
    """The name that is most like `value`, however far from it.

    Args:
        value: what somebody has written, of any length.
        names: one or more.
    """
    return difflib.get_close_matches(str(value)[:LONGEST_SHOWN], list(names), n=1, cutoff=0.0)[0]


def like(value: str, names: Iterable[str]) -> str:
    """ "; the nearest is 'NAME'", or "" where no name is like `value` at all."""
    close = difflib.get_close_matches(str(value)[:LONGEST_SHOWN], list(names), n=1)
    return f"; the nearest it has is '{close[0]}'" if close else ""


def and_more(names: Sized) -> str:
    """ " (and N more)" behind the first of several names, "" behind a name alone."""
    return f" (and {len(names) - 1} more)" if len(names) > 1 else ""


def choose(argument: str, value: str, choices: Mapping[str, T]) -> T:
    """`choices[value]`, or one line that names the argument and the nearest choice.

    Raises:
        ArgumentError: `value` is no key of `choices`.
    """
    require_one_of(argument, value, choices)
    return choices[value]


def require_one_of(argument: str, value: str, names: Collection[str]) -> None:
    """One line that names the argument and the nearest of `names`, where `value` is none of them.

    Raises:
        ArgumentError: `value` is not in `names`.
    """
    if value not in names:
        said = f"{_cut(repr(value))} is none of {', '.join(names)}; nearest: {nearest(value, names)}"
        raise ArgumentError(argument, said)


def check(name: str, value: Any, kind: Any, bounds: Bounds | None = None) -> None:
    """Refuses a value of another kind, or out of bounds.

    Args:
        name: of the flag, field or argument, for the message.
        value: what was given.
        kind: the type it must have: bool, int, float, str, a tuple of one of these, or one of all that with None, or
            with functions, whose values nobody can know beforehand.
        bounds: its bounds; of a tuple, those of each element.

    Raises:
        ArgumentError: "NAME: must be ..., not VALUE".
    """
    functions = any(map(_is_function, get_args(kind)))
    kind, optional = without_none(kind)
    if (value is None and optional) or (functions and callable(value)):
        return
    if get_origin(kind) is tuple:
        if not isinstance(value, tuple | list):
            raise ArgumentError(name, f"must be a list, not {shown(value)}")
        for one in value:
            check(name, one, get_args(kind)[0], bounds)
    elif isinstance(bounds, Choice) and isinstance(value, str):
        require_one_of(name, value, bounds.names)
    elif not _fits(value, kind, bounds):
        raise ArgumentError(name, f"must be {described(kind, bounds)}, not {shown(value)}")


def described(kind: Any, bounds: Bounds | None) -> str:
    """What a value must be, such as "a whole number in 1..14"; empty where anything of the kind will do."""
    kind, _ = without_none(kind)
    if get_origin(kind) is tuple:
        kind = get_args(kind)[0]
    if kind is bool:
        return "true or false"
    if kind not in (int, float):
        return str(bounds or "text")
    noun = "a whole number" if kind is int else "a number"
    return f"{noun} {bounds}" if bounds else f"a finite {noun.removeprefix('a ')}"


def without_none(kind: Any) -> tuple[Any, bool]:
    """The type of a value that text can write: without `| None` and functions, and whether None was there."""
    others = [one for one in get_args(kind) if one is not type(None) and not _is_function(one)]
    if get_origin(kind) is tuple or len(others) != 1:
        return kind, False
    return others[0], type(None) in get_args(kind)


def number(text: str, kind: type) -> Any:
    """The number that `text` writes in ASCII digits, or the text itself where it writes none of that kind.

    Python would also take other scripts' digits and underscores, which nobody types on purpose.
    """
    try:
        if not text.isascii() or "_" in text:
            return text
        return int(text, 16 if text[:2].lower() == "0x" else 10) if kind is int else float(text)
    except ValueError:
        return text


def shown(value: Any) -> str:
    """A value as a message shows it: as it was written where that can be read, and not at any length."""
    readable = isinstance(value, str) and value.strip() == value != "" and value.isprintable()
    return _cut(value if readable else repr(list(value) if isinstance(value, tuple) else value))


def annotated(function: Callable[..., Any]) -> dict[str, tuple[Any, Bounds]]:
    """The parameters of a function that are annotated with bounds or choices: name to (type, bounds).

    `Literal["on", "off"]` states the choices of a text. It is written out in the signature, or as an alias beside the
    other kinds at the end of this file, because the commands read it from the source without importing it.
    """
    hints = get_type_hints(function, include_extras=True)
    return {name: told for name, hint in hints.items() if (told := bounds_of(hint))}


def bounds_of(hint: Any) -> tuple[Any, Bounds] | None:
    """The (type, bounds) that an annotation states; None where it states no bounds."""
    if get_origin(hint) is Annotated:
        kind, bounds, *_ = get_args(hint)
        return kind, bounds
    return (str, one_of(get_args(hint))) if get_origin(hint) is Literal else None


def checked(function: Callable[P, T]) -> Callable[P, T]:
    """Has a function check, before it does anything, every argument that is annotated with bounds or choices.

    The annotation is such as `temperature: Annotated[float, Number(0, 1_000, above=True)]`, or
    `metric: Literal["l1", "l2"]`.
    """
    signature = inspect.signature(function)

    @functools.wraps(function)
    def checking(*args: P.args, **kwargs: P.kwargs) -> T:
        bound_to = annotated(function)
        for name, value in signature.bind(*args, **kwargs).arguments.items():
            if name in bound_to:
                check(name, value, *bound_to[name])
        return function(*args, **kwargs)

    return checking


def _is_function(kind: Any) -> bool:
    return get_origin(kind) is Callable


def _fits(value: Any, kind: Any, bounds: Bounds | None) -> bool:
    if kind is bool:
        return isinstance(value, bool)
    if kind is str:
        return isinstance(value, str) and (bounds is None or bool(value.strip()))
    if kind in (int, float):
        wanted = numbers.Integral if kind is int else numbers.Real
        number = isinstance(value, wanted) and not isinstance(value, bool)
        return number and (bounds if isinstance(bounds, Number) else Number()).admits(value)
    return True


def _written(end: float) -> str:
    if end == 2**63 - 1:
        return "2^63-1"
    return f"{end:,}" if isinstance(end, int) else f"{end:g}"


def _cut(text: str) -> str:
    return text if len(text) <= LONGEST_SHOWN else f"{text[:LONGEST_SHOWN]}… ({len(text)} characters)"


# Hyper-parameters of one kind have one range. A constructor's annotations state it, `checked` holds it, and the flags'
# help is made from it.
TermWeight = Annotated[float, Number(0, 1_000_000)]
RampedWeight = Annotated[float | Callable[[Any], Any], Number(0, 1_000_000)]
Temperature = Annotated[float, Number(0.001, 1_000)]
Share = Annotated[float, Number(0, 1)]
PreparationEpochs = Annotated[int, Number(1, 100_000)]
RampEpochs = Annotated[float, Number(0, 1_000_000)]
Rate = Annotated[float, Number(1e-30, 1_000_000)]
Order = Literal["alternating", "joint"]
TapNames = Annotated[str, Filled("names of taps with commas between them")]
