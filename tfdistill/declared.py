"""What a class says of itself in its source: documentation, arguments, attributes. It is read, not imported.

A hyper-parameter stands once, in the constructor of its method or transfer, whose file imports TensorFlow. Its flag and
its help need neither: they are made of the text of that file.
"""

from __future__ import annotations

import ast
import functools
import importlib
import inspect
import sys
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_type_hints

from tfdistill import bounds, lazy

PACKAGE = Path(__file__).parent


@dataclass(frozen=True)
class Declared:
    """What a class says of itself.

    Attributes:
        documentation: its docstring, or that of the next class above which has one; without indentation.
        arguments: of its constructor, those that have a default: name to (default, annotation).
        names: of all arguments of its constructor.
        attributes: of the class and those above it, what is written out: numbers, texts, and tuples of them.
    """

    documentation: str
    arguments: Mapping[str, tuple[Any, Any]]
    attributes: Mapping[str, Any]
    names: tuple[str, ...]


def declared(lookup: lazy.Lookup[Any], key: str, without: Collection[str] = ()) -> Declared:
    """What a class in a dict of names says of itself.

    Args:
        lookup: the dict, such as `METHODS`.
        key: the class's.
        without: arguments that are left out: what the command gives, and no flag.

    Raises:
        KeyError: there is no such key.
    """
    place = lookup.place(key)
    return in_source(*place, tuple(without)) if place else of_class(lookup[key], without)


def of_class(made: type, without: Collection[str] = ()) -> Declared:
    """As `declared`, of a class that is there already, such as one that a program has put into `METHODS`."""
    hints = get_type_hints(made.__init__, include_extras=True)  # type: ignore[misc]
    _, *parameters = inspect.signature(made.__init__).parameters.values()  # type: ignore[misc]
    arguments = {
        one.name: (one.default, hints.get(one.name))
        for one in parameters
        if one.default is not one.empty and one.name not in without
    }
    attributes = {name: value for one in reversed(made.__mro__) for name, value in vars(one).items()}
    return Declared(inspect.getdoc(made) or "", arguments, attributes, tuple(one.name for one in parameters))


@functools.cache
def in_source(module: str, name: str, without: tuple[str, ...] = ()) -> Declared:
    """As `declared`, of a class by the module that it stands in.

    Raises:
        NameError: a default or an annotation is made of something that only an import would give.
    """
    line = list(_Source.of(module).line_of(name))
    documentation = next((text for _, one in line if (text := ast.get_docstring(one))), "")
    attributes: dict[str, Any] = {}
    for _, one in reversed(line):
        attributes |= dict(_written_out(one))
    constructors = ((source, _constructor(one)) for source, one in line)
    source, constructor = next(((source, one) for source, one in constructors if one), (None, None))
    if source is None or constructor is None:
        return Declared(documentation, {}, attributes, ())
    arguments = dict(source.arguments(constructor, without))
    return Declared(documentation, arguments, attributes, _argument_names(constructor))


class _Source:
    """The text of one module of ours."""

    def __init__(self, module: str) -> None:
        base = PACKAGE.joinpath(*module.split(".")[1:])
        self.path = base / "__init__.py" if base.is_dir() else base.with_suffix(".py")
        self.classes: dict[str, ast.ClassDef] = {}
        self.assigned: dict[str, ast.expr] = {}
        self.imported: dict[str, tuple[str, str]] = {}
        for statement in ast.parse(self.path.read_text(encoding="utf-8")).body:
            if isinstance(statement, ast.ClassDef):
                self.classes[statement.name] = statement
            elif isinstance(statement, ast.Assign) and isinstance(statement.targets[0], ast.Name):
                self.assigned[statement.targets[0].id] = statement.value
            elif isinstance(statement, ast.ImportFrom) and not statement.level and statement.module:
                for one in statement.names:
                    self.imported[one.asname or one.name] = (statement.module, one.name)

    @classmethod
    @functools.cache
    def of(cls, module: str) -> _Source:
        return cls(module)

    def line_of(self, name: str) -> Iterator[tuple[_Source, ast.ClassDef]]:
        """A class of ours and those of ours above it, each with the text that it stands in."""
        if name in self.imported:
            module, original = self.imported[name]
            if module.startswith("tfdistill."):
                yield from _Source.of(module).line_of(original)
        elif name in self.classes:
            yield self, self.classes[name]
            for base in self.classes[name].bases:
                if isinstance(base, ast.Name):
                    yield from self.line_of(base.id)

    def arguments(
        self, constructor: ast.FunctionDef, without: Collection[str]
    ) -> Iterator[tuple[str, tuple[Any, Any]]]:
        """Names of the arguments that have a default, each with (default, annotation)."""
        said = constructor.args
        by_place = [*said.posonlyargs, *said.args]
        pairs = [*zip(by_place[len(by_place) - len(said.defaults) :], said.defaults, strict=True)]
        pairs += [(one, default) for one, default in zip(said.kwonlyargs, said.kw_defaults, strict=True) if default]
        for one, default in pairs:
            if one.arg not in without:
                yield one.arg, (self.value(default), self.value(one.annotation) if one.annotation else None)

    def value(self, expression: ast.expr) -> Any:
        """What an expression gives that is made of bounds, of types, and of what this file assigns."""
        try:
            return eval(compile(ast.Expression(expression), str(self.path), "eval"), {}, _Names(self))
        except NameError as error:
            raise NameError(f"{self.path}: {ast.unparse(expression)}: {error}; flags read it without imports") from None

    def named(self, name: str) -> Any:
        if name in self.assigned:
            return self.value(self.assigned[name])
        module, original = self.imported[name]
        if module == bounds.__name__:  # numbers, choices and kinds of hyper-parameters: what annotations are made of
            return getattr(bounds, original)
        if module.partition(".")[0] in sys.stdlib_module_names:
            return getattr(importlib.import_module(module), original)
        if module.startswith("tfdistill."):
            return _Source.of(module).named(original)
        raise KeyError(name)


class _Names(dict[str, Any]):
    """The names that an expression of a module is made of."""

    def __init__(self, source: _Source) -> None:
        super().__init__()
        self.source = source

    def __missing__(self, name: str) -> Any:
        return self.source.named(name)


def _constructor(made: ast.ClassDef) -> ast.FunctionDef | None:
    functions = (one for one in made.body if isinstance(one, ast.FunctionDef))
    return next((one for one in functions if one.name == "__init__"), None)


def _argument_names(constructor: ast.FunctionDef) -> tuple[str, ...]:
    _, *names = (one.arg for one in (*constructor.args.posonlyargs, *constructor.args.args))
    return (*names, *(one.arg for one in constructor.args.kwonlyargs))


def _written_out(made: ast.ClassDef) -> Iterator[tuple[str, Any]]:
    """The attributes of a class whose values are written out."""
    for statement in made.body:
        if isinstance(statement, ast.Assign | ast.AnnAssign) and statement.value is not None:
            target = statement.targets[0] if isinstance(statement, ast.Assign) else statement.target
            try:
                value = ast.literal_eval(statement.value)
            except ValueError:
                continue
            if isinstance(target, ast.Name):
                yield target.id, value
