"""Imports that wait until somebody asks for the name: flags, help and lists need neither TensorFlow nor Keras.

A package states what it exports below `if TYPE_CHECKING:`, where editors and type checkers read it, and so does this
module:

    if TYPE_CHECKING:
        from tfdistill.methods.dml import DML
    else:
        __getattr__, __dir__ = lazy.attributes(__name__)

It needs Python alone.
"""

from __future__ import annotations

import ast
import functools
import importlib
import importlib.abc
import importlib.util
import sys
from collections.abc import Callable, Iterator, Mapping, MutableMapping
from contextlib import AbstractContextManager
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Any, TypeVar

T = TypeVar("T")


def attributes(package: str) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """`__getattr__` and `__dir__` of a package (PEP 562): its names are imported when they are first asked for."""

    def get(name: str) -> Any:
        if name not in (found := places(package)):
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        module, original = found[name]
        value = importlib.import_module(module)
        if original:
            value = getattr(value, original)
        setattr(sys.modules[package], name, value)  # so that it is asked once
        return value

    return get, lambda: sorted({*vars(sys.modules[package]), *places(package)})


@functools.cache
def places(package: str) -> Mapping[str, tuple[str, str]]:
    """Where a package's names lie, as its file says below `if TYPE_CHECKING:`: name to (module, name there).

    A module is (its full name, ""). `import keras` and the like are there for annotations alone.
    """
    file = Path(str(sys.modules[package].__file__))
    found = {}
    for statement in ast.parse(file.read_text(encoding="utf-8")).body:
        if not (isinstance(statement, ast.If) and ast.unparse(statement.test) == "TYPE_CHECKING"):
            continue
        for one in statement.body:
            if isinstance(one, ast.Import):
                continue
            if not isinstance(one, ast.ImportFrom) or one.level or not one.module:
                raise ImportError(f"{file}: below TYPE_CHECKING stand imports such as: from {package}.part import name")
            for alias in one.names:
                is_module = one.module == package
                place = (f"{package}.{alias.name}", "") if is_module else (one.module, alias.name)
                found[alias.asname or alias.name] = place
    return found


class Lookup(MutableMapping[str, T]):
    """A dict whose values are names of a package, imported when they are first asked for.

    Args:
        package: the package, which has its names by `attributes`.
        names: the literal dict, key to name. What is set later is a value itself.
    """

    def __init__(self, package: str, names: Mapping[str, str]) -> None:
        self.package = package
        self.entries: dict[str, str | T] = dict(names)

    def __getitem__(self, key: str) -> T:
        entry = self.entries[key]
        return getattr(sys.modules[self.package], entry) if isinstance(entry, str) else entry

    def place(self, key: str) -> tuple[str, str] | None:
        """Module and name of a value; None for one that was set later."""
        entry = self.entries[key]
        return places(self.package)[entry] if isinstance(entry, str) else None

    def __setitem__(self, key: str, value: T) -> None:
        self.entries[key] = value

    def __delitem__(self, key: str) -> None:
        del self.entries[key]

    def __contains__(self, key: object) -> bool:
        return key in self.entries

    def __iter__(self) -> Iterator[str]:
        return iter(self.entries)

    def __len__(self) -> int:
        return len(self.entries)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.entries!r})"


class _Around(importlib.abc.MetaPathFinder):
    """Finds one module until it is imported, and has its import run inside a context."""

    def __init__(self, name: str, context: Callable[[], AbstractContextManager[Any]]) -> None:
        self.name, self.context = name, context
        self.is_asking = False

    def find_spec(self, fullname: str, path: Any = None, target: ModuleType | None = None) -> ModuleSpec | None:
        if fullname != self.name or self.is_asking:
            return None
        # Asked by an import, or by somebody who only wants to know whether the module is there.
        self.is_asking = True
        try:
            spec = importlib.util.find_spec(fullname)
        finally:
            self.is_asking = False
        if spec is not None and spec.loader is not None:
            execute = spec.loader.exec_module

            def inside(module: ModuleType) -> None:
                with self.context():
                    execute(module)
                sys.meta_path.remove(self)  # not before: whoever tries again after a failure is answered alike

            spec.loader.exec_module = inside  # type: ignore[method-assign]
        return spec


def around_import(name: str, context: Callable[[], AbstractContextManager[Any]]) -> None:
    """Has the first import of a module, whoever asks for it, run inside of a context.

    Args:
        name: the module, which is not imported yet.
        context: makes the context manager.
    """
    sys.meta_path.insert(0, _Around(name, context))
