"""Names that are imported when they are asked for: all are there, and Keras misses no layer of ours."""

import ast
import contextlib
import importlib
import importlib.util
import inspect
import sys
from pathlib import Path

import pytest

import tfdistill
from tfdistill import lazy, registration

PACKAGE = Path(tfdistill.__file__).parent
LAZY = [path.parent for path in sorted(PACKAGE.rglob("__init__.py")) if "lazy.attributes(__name__)" in path.read_text()]


def module_of(path: Path) -> str:
    return ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts)


@pytest.mark.parametrize("folder", LAZY, ids=module_of)
def test_a_package_has_what_it_exports(folder):
    package = importlib.import_module(module_of(folder))
    for name in package.__all__:
        assert name in dir(package) and getattr(package, name) is not None
    assert set(lazy.places(package.__name__)) <= set(dir(package))
    for name, (module, original) in lazy.places(package.__name__).items():
        found = getattr(package, name)
        assert found is (getattr(sys.modules[module], original) if original else sys.modules[module])
        # As a file of that name beside it would come to be in its place when it is imported.
        assert inspect.ismodule(found) or not (folder / f"{name}.py").exists(), name


def test_a_package_has_nothing_else():
    with pytest.raises(AttributeError, match="module 'tfdistill' has no attribute 'DLM'"):
        _ = tfdistill.DLM
    with pytest.raises(ImportError):
        exec("from tfdistill.methods import DLM")


def test_what_is_below_type_checking_and_cannot_be_read_is_said(tmp_path, monkeypatch):
    (tmp_path / "odd_package").mkdir()
    (tmp_path / "odd_package" / "__init__.py").write_text(
        "from typing import TYPE_CHECKING\nfrom tfdistill import lazy\nif TYPE_CHECKING:\n    from . import json\n"
        "else:\n    __getattr__, __dir__ = lazy.attributes(__name__)\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ImportError, match=r"below TYPE_CHECKING stand imports such as: from odd_package\.part import"):
        _ = importlib.import_module("odd_package").anything
    monkeypatch.delitem(sys.modules, "odd_package")


def test_a_lookup_is_a_dict(monkeypatch):
    made = lazy.Lookup("tfdistill.methods", {"dml": "DML", "one": "ONE"})
    assert list(made) == ["dml", "one"] and len(made) == 2 and "dml" in made and "DML" not in made
    assert made["dml"] is tfdistill.DML and dict(made) == {"dml": tfdistill.DML, "one": tfdistill.ONE}
    assert made.place("one") == ("tfdistill.methods.one", "ONE") and "'one': 'ONE'" in repr(made)
    with pytest.raises(KeyError):
        made["two"]
    monkeypatch.setitem(made, "mine", int)
    assert made["mine"] is int and made.place("mine") is None
    monkeypatch.undo()
    assert "mine" not in made and made.get("mine") is None


def test_keras_knows_every_layer_of_ours_once_it_is_imported():
    tree = ast.parse(inspect.getsource(registration.register))
    imported = {
        f"{one.module}.{alias.name}" for one in ast.walk(tree) if isinstance(one, ast.ImportFrom) for alias in one.names
    }
    having = {
        module_of(path)
        for path in PACKAGE.rglob("*.py")
        if "\n@keras.saving.register_keras_serializable" in path.read_text()
    }
    assert having and having <= imported


def test_the_first_import_of_a_module_runs_inside_of_a_context(tmp_path, monkeypatch):
    (tmp_path / "watched_module.py").write_text("import builtins\nbuiltins.seen.append('module')\n")
    seen = []
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr("builtins.seen", seen, raising=False)

    @contextlib.contextmanager
    def noting(name):
        seen.append(f"{name} begins")
        yield
        seen.append(f"{name} ends")

    lazy.around_import("watched_module", lambda: noting("inner"))
    lazy.around_import("watched_module", lambda: noting("outer"))
    assert importlib.util.find_spec("watched_module") and not seen  # others look whether a package is there
    importlib.import_module("watched_module")
    assert seen == ["outer begins", "inner begins", "module", "inner ends", "outer ends"]
    monkeypatch.delitem(sys.modules, "watched_module")
    importlib.import_module("watched_module")
    assert seen[5:] == ["module"]
    monkeypatch.delitem(sys.modules, "watched_module")
