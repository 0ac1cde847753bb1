"""Who may import whom, read from the source files, and what no file of the project may mention."""

import ast
import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = "tfdistill"
EVERYTHING = None

# One row per room, and per module beside the rooms: what it may import of ours besides itself; with a dot, that module
# of a room alone.
RULES: dict[str, set[str] | None] = {
    "bounds": set(),
    "boxes": set(),
    "files": set(),
    "keras_settings": set(),
    "lazy": set(),
    "columns": set(),
    "taps": set(),
    "topology": set(),
    "standalone": set(),
    "startup": {"keras_settings"},
    "declared": {"bounds"},
    "registration": {"helpers", "networks", "transfers"},
    "losses": {"boxes"},
    "data": {"bounds", "boxes"},
    "optimizers": {"bounds"},
    "networks": {"bounds", "keras_settings"},
    "tasks": {"bounds", "boxes", "losses", "networks", "standalone.drawing", "taps"},
    "devices": {"bounds", "networks", "startup"},
    "engine": {"bounds", "devices", "keras_settings", "networks", "optimizers", "columns", "taps", "tasks", "topology"},
    "helpers": {"bounds", "networks", "taps"},
    "transfers": {"bounds", "engine.updates", "helpers", "losses", "networks", "taps"},
    "methods": {
        "bounds",
        "engine",
        "helpers",
        "losses",
        "networks",
        "optimizers",
        "taps",
        "tasks",
        "topology",
        "transfers",
    },
    "export": {
        "boxes",
        "devices.replicas",
        "networks",
        "data.transforms.decoding",
        "data.transforms.headers",
        "data.transforms.readings",
    },
    "runs": {
        "bounds",
        "data",
        "declared",
        "devices",
        "engine",
        "export",
        "files",
        "methods",
        "networks",
        "optimizers",
        "standalone",
        "columns",
        "tables",
        "taps",
        "tasks",
        "transfers",
    },
    "tables": {"bounds", "columns", "files"},
    "analysis": {"bounds", "columns", "data", "files", "losses", "networks", "tables.pictures"},
    "commands": EVERYTHING,
    "__main__": {"commands"},
    "__init__": {
        "analysis",
        "data",
        "engine",
        "export",
        "losses",
        "methods",
        "networks",
        "optimizers",
        "registration",
        "runs.teachers",
        "startup",
        "topology",
        "transfers",
    },
}
# How a package imports what it exports.
OF_ALL = {"lazy"}


def imported_modules(source: str, module: str, is_package: bool) -> Iterator[str]:
    """Full names of the modules that a source imports, wherever the import stands, relative ones resolved.

    `from a import b` counts as `a.b`, since b may be a module.
    """
    parts = module.split(".") + ([""] if is_package else [])
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = parts[: -node.level] if node.level else []
            base = ".".join(above + ([node.module] if node.module else []))
            yield from (f"{base}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith(("import_module", "__import__")):
            # Of f"tfdistill.room.{name}" the beginning, which says the room.
            parts_of = [one.values[0] if isinstance(one, ast.JoinedStr) else one for one in node.args[:1]]
            yield from (one.value.rstrip(".") for one in parts_of if isinstance(one, ast.Constant))


def unit_of(module: str) -> str | None:
    """The row of `RULES` for a full name: what lies right below our package; None for what is not ours."""
    top, _, below = module.partition(".")
    if top != PACKAGE:
        return None
    return below.split(".")[0] or "__init__"


def violations(source: str, module: str, is_package: bool = False) -> list[str]:
    """What a module of ours imports against `RULES`, a line each."""
    unit = unit_of(module)
    if unit not in RULES:
        return [f"{module}: '{unit}' has no row in RULES"]
    allowed = RULES[unit]
    if allowed is EVERYTHING:
        return []
    found = sorted(set(imported_modules(source, module, is_package)))
    return [
        f"{module} imports {one}"
        for one in found
        if unit_of(one) not in {None, unit} and not _is_in(one, allowed | OF_ALL)
    ]


def _is_in(imported: str, allowed: set[str]) -> bool:
    return any(f"{imported}.".startswith(f"{PACKAGE}.{name}.") for name in allowed)


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def project_files() -> list[Path]:
    """Files that git tracks or would track; without git all but environments, caches and what runs leave."""
    try:
        if Path(_git("rev-parse", "--show-toplevel").strip()).resolve() == ROOT:
            names = _git("ls-files", "-z", "--cached", "--others", "--exclude-standard").split("\0")
            return sorted({ROOT / name for name in names if (ROOT / name).is_file()})
    except (OSError, subprocess.CalledProcessError):
        pass  # No git, or no repository of ours: an unpacked archive.
    skipped = {"runs", "analysis", "saved_models", "build", "dist", "__pycache__"}
    paths = []
    for folder, folders, files in os.walk(ROOT):
        folders[:] = [name for name in folders if name == ".ci" or not name.startswith(".")]
        left_behind = skipped if Path(folder) == ROOT else {"__pycache__"}
        folders[:] = [name for name in folders if name not in left_behind and not name.endswith(".egg-info")]
        paths += [Path(folder, name) for name in files if not name.endswith(".pyc")]
    return sorted(paths)


def _git(*arguments: str) -> str:
    done = subprocess.run(["git", "-C", str(ROOT), *arguments], capture_output=True, check=True)
    return os.fsdecode(done.stdout)


def test_the_page_on_architecture_has_the_same_rows():
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8").partition("## Who may import whom")[2]
    rows = re.findall(r"^\| (`.+?) \| (.+?) \|$", page, re.MULTILINE)
    told = [(name, imports) for parts, imports in rows for name in re.findall(r"`(\w+)`", parts)]
    assert sorted(name for name, _ in told) == sorted(set(RULES) - {"__init__"}), "each has one row"
    for name, imports in told:
        allowed = RULES[name]
        if allowed is EVERYTHING:
            assert imports == "everything", name
        else:
            assert {part for one in allowed for part in one.split(".")} == set(re.findall(r"`(\w+)`", imports)), name


def test_every_module_imports_what_its_row_allows():
    paths = sorted((ROOT / PACKAGE).rglob("*.py"))
    assert len(paths) > 10
    found = [
        line
        for path in paths
        for line in violations(path.read_text("utf-8"), module_name(path), path.name == "__init__.py")
    ]
    assert not found, "\n".join(found)


def test_only_commands_and_scripts_import_a_run():
    others = [
        path
        for path in project_files()
        if path.suffix == ".py" and path.relative_to(ROOT).parts[0] not in ("launch", "benchmarks", "tests")
    ]
    found = [
        f"{module_name(path)} imports {one}"
        for path in others
        for one in imported_modules(path.read_text("utf-8"), module_name(path), path.name == "__init__.py")
        if f"{one}.".startswith(f"{PACKAGE}.runs.run.") and unit_of(module_name(path)) != "commands"
    ]
    assert len(others) > 10 and not found, "\n".join(found)


# Written in two parts, so that this file does not mention them either.
@pytest.mark.parametrize("machine_path", ["/" + "work/", "/" + "tmp/w", "/" + "tmp/pytest"])
def test_no_file_mentions_a_path_of_one_machine(machine_path):
    paths = project_files()
    assert Path(__file__).resolve() in paths
    found = [str(path.relative_to(ROOT)) for path in paths if machine_path.encode() in path.read_bytes()]
    assert not found, f"{machine_path} in {found}"


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("tfdistill.losses.logits", "from tfdistill.networks import layers"),
        ("tfdistill.losses.logits", "from tfdistill import methods"),
        ("tfdistill.losses.logits", "from .. import methods"),
        ("tfdistill.losses.logits", "from ..methods.dml import DML"),
        ("tfdistill.losses.logits", "def late():\n    import tfdistill.methods.dml as dml"),
        ("tfdistill.losses.logits", "if True:\n    from tfdistill.tasks import Classification"),
        ("tfdistill.losses.logits", "import importlib\nimportlib.import_module('tfdistill.methods')"),
        ("tfdistill.losses.logits", "import importlib\nimportlib.import_module(f'tfdistill.methods.{name}')"),
        ("tfdistill.losses.logits", "import tfdistill"),
        ("tfdistill.runs.checkpoints", "from tfdistill.commands import command_line"),
        ("tfdistill.export.encoded", "from tfdistill import data"),
        ("tfdistill.export.encoded", "from tfdistill.data import Reading"),
        ("tfdistill.export.encoded", "from tfdistill.data.transforms.decoding_tables import TABLE"),
        ("tfdistill.transfers.kd", "from tfdistill.methods import METHODS"),
        ("tfdistill.transfers.kd", "from tfdistill.engine.distiller import Distiller"),
        ("tfdistill.methods.dml", "from tfdistill.data import load"),
        ("tfdistill.methods.dml", "from tfdistill.runs.config import RunConfig"),
        ("tfdistill.engine.distiller", "from tfdistill.methods import METHODS"),
        ("tfdistill.engine.distiller", "from tfdistill.runs import checkpoints"),
        ("tfdistill.runs.config", "from tfdistill.commands.train import run"),
        ("tfdistill", "from tfdistill.commands.train import run"),
        ("tfdistill", "from tfdistill.runs.run import Run"),
        ("tfdistill.losses", "if TYPE_CHECKING:\n    from tfdistill.methods.dml import DML"),
        ("tfdistill.trainer", "import numpy"),
    ],
)
def test_the_checker_catches(module, source):
    assert len(violations(source, module)) == 1


@pytest.mark.parametrize(
    ("module", "is_package", "source"),
    [
        ("tfdistill.losses.logits", False, "import keras\nfrom tfdistill.losses.shapes import as_float32"),
        ("tfdistill.losses.logits", False, "from . import shapes\nfrom .shapes import as_float32"),
        ("tfdistill", True, "from . import losses\nfrom .methods import METHODS"),
        ("tfdistill.losses", True, "from . import logits\nfrom .logits import kl_divergence"),
        ("tfdistill.methods.dml", False, "from tfdistill import losses\nfrom ..engine.distiller import Distiller"),
        ("tfdistill.methods.dml", False, "import tfdistill_extras"),
        ("tfdistill.export.encoded", False, "from tfdistill.data.transforms import decoding"),
        ("tfdistill.commands.train", False, "import tfdistill.methods\nfrom tfdistill.runs import checkpoints"),
    ],
)
def test_the_checker_lets_pass(module, is_package, source):
    assert violations(source, module, is_package) == []
