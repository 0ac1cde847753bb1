"""absl flags, made from `RunConfig` and the methods' constructors."""

from __future__ import annotations

import contextlib
import dataclasses
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, get_type_hints

from absl import flags

from tfdistill.config import RunConfig, hyperparameters
from tfdistill.data import AUGMENTATIONS, DATASETS, TFDS_PATTERN, TFDS_SUMMARY
from tfdistill.export import ExportError
from tfdistill.methods import METHODS
from tfdistill.networks import APPLICATIONS, NETWORKS


def run_flags() -> flags.FlagValues:
    """A flag per field of `RunConfig`, and `--<method>.<name>` per hyper-parameter of every method."""
    values = flags.FlagValues()
    kinds = get_type_hints(RunConfig)
    for one in dataclasses.fields(RunConfig):
        if one.name != "hyperparameters":
            _define(values, one.name, one.default, kinds[one.name], one.metadata["help"])
    for method in METHODS:
        for name, hyperparameter in hyperparameters(method).items():
            _define(values, f"{method}.{name}", hyperparameter.default, hyperparameter.kind, hyperparameter.text)
    flags.DEFINE_bool("list", False, "Print methods, networks and data sets, and exit.", flag_values=values)
    flags.DEFINE_string(
        "explain", "", "Print what a method does, builds, trains and can be told, and exit.", flag_values=values
    )
    flags.DEFINE_bool("help", False, "Print every flag, and exit.", short_name="h", flag_values=values)
    return values


def parse(values: flags.FlagValues, arguments: Sequence[str]) -> None:
    """Parses `arguments` (without the program's name) into `values`.

    Raises:
        ValueError: an unknown flag, a value of the wrong kind, a flagfile that cannot be read, or what is no flag.
    """
    try:
        _, *rest = values(["", *expand_flagfiles(arguments)])
    except flags.Error as error:
        raise ValueError(" ".join(str(error).split())) from error
    if rest:
        raise ValueError(f"{rest[0]!r} is no flag; flags begin with --, such as --run=first")


def run_config(values: flags.FlagValues) -> RunConfig:
    """The run that parsed flags describe.

    Raises:
        ValueError: a value out of its range, or a hyper-parameter of another method than `--method`.
    """
    names = [one.name for one in dataclasses.fields(RunConfig) if one.name != "hyperparameters"]
    read = {name: _value(values[name].value) for name in names}
    if read["milestones"] is not None:
        read["milestones"] = _numbers("milestones", read["milestones"])
    said = {}
    for method in METHODS:
        for name, hyperparameter in hyperparameters(method).items():
            flag = values[f"{method}.{name}"]
            if flag.present and method != read["method"]:
                raise ValueError(f"{method}.{name}: belongs to --method={method}, not {read['method']}; leave it out")
            if flag.present:
                said[name] = _value(flag.value)
                if hyperparameter.kind is tuple and all(isinstance(one, float) for one in hyperparameter.default):
                    said[name] = _numbers(f"{method}.{name}", said[name])
    return RunConfig(**read, hyperparameters=said)


def expand_flagfiles(arguments: Sequence[str], folder: Path | None = None, seen: tuple[Path, ...] = ()) -> list[str]:
    """Replaces each `--flagfile=PATH` by the flags in the file, one a line; `#` begins a comment line.

    A flagfile in a flagfile is looked for beside it, then in the working directory, so that a configuration works from
    anywhere.

    Raises:
        ValueError: a file that is not there, or includes itself.
    """
    expanded: list[str] = []
    remaining = list(arguments)
    while remaining:
        argument = remaining.pop(0)
        name, equals, value = argument.partition("=")
        if name not in ("--flagfile", "-flagfile"):
            expanded.append(argument)
            continue
        value = value if equals else (remaining.pop(0) if remaining else "")
        path = next((one for one in ((folder or Path()) / value, Path(value)) if value and one.is_file()), None)
        if path is None:
            raise ValueError(f"flagfile: there is no file {value!r}")
        if path.resolve() in seen:
            raise ValueError(f"flagfile: {path} includes itself")
        lines = [line.strip() for line in path.read_text().splitlines()]
        inner = [line for line in lines if line and not line.startswith(("#", "//"))]
        expanded += expand_flagfiles(inner, path.parent, (*seen, path.resolve()))
    return expanded


def listing() -> str:
    """Methods, networks and data sets, a line each."""
    parts = {
        "Methods (--method)": {name: _first_line(method.__doc__) for name, method in METHODS.items()},
        "Networks (--networks)": {
            **{family.pattern: family.summary for family in NETWORKS.values()},
            **{
                name: f"{one.builder} of keras.applications, whose ImageNet weights it fits"
                for name, one in APPLICATIONS.items()
            },
        },
        "Data sets (--dataset)": {
            **{name: entry.summary for name, entry in DATASETS.items()},
            TFDS_PATTERN: TFDS_SUMMARY,
        },
        "Augmentations (--augmentation), in this order": AUGMENTATIONS,
    }
    lines = []
    for title, entries in parts.items():
        width = max(map(len, entries))
        lines += [title, *(f"  {name:<{width}}  {text}" for name, text in entries.items()), ""]
    return "\n".join(lines).rstrip()


def usage(program: str, values: flags.FlagValues) -> str:
    """Every flag with its default and a line of help, those of the methods last."""
    lines = [f"usage: {program} [--flagfile=FILE] [--flag=value ...]", ""]
    names = sorted((name for name in values if len(name) > 1), key=lambda name: ("." in name, name))
    for name in names:
        flag = values[name]
        default = (flag.default_as_str or "").strip("'")
        lines.append(f"  --{name}={default}")
        lines.append(f"      {flag.help}")
    return "\n".join(lines)


@contextlib.contextmanager
def one_line_errors(program: str) -> Iterator[None]:
    """Ends the process with one line on standard error, and status 2, where the block raises for what a user gave.

    Put it around what reads and checks, not around training: there a ValueError is a defect, and wants its traceback.
    """
    try:
        yield
    except (ValueError, OSError, ExportError) as error:
        message = str(error)
        if not message or "\n" in message:
            raise
        print(f"{program}: error: {message}", file=sys.stderr)
        sys.exit(2)


def _define(values: flags.FlagValues, name: str, default: Any, kind: Any, text: str) -> None:
    text = text.replace("%", "%%")
    if kind in (bool, bool | None):
        flags.DEFINE_bool(name, default, text, flag_values=values)
    elif kind in (int, int | None):
        flags.DEFINE_integer(name, default, text, flag_values=values)
    elif kind in (float, float | None):
        flags.DEFINE_float(name, default, text, flag_values=values)
    elif kind in (str, str | None):
        flags.DEFINE_string(name, default, text, flag_values=values)
    else:
        flags.DEFINE_list(name, None if default is None else list(default), text, flag_values=values)


def _numbers(name: str, texts: Sequence[str]) -> tuple[float, ...]:
    try:
        return tuple(float(text) for text in texts)
    except ValueError:
        raise ValueError(f"{name}: {','.join(texts)!r} is no list of numbers, such as 80,120") from None


def _value(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def _first_line(docstring: str | None) -> str:
    return (docstring or "").strip().splitlines()[0]
