"""The command `export` once its flags are good: the networks of a run, exported from a checkpoint of it."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path
from typing import Any

import keras
from absl import flags

from tfdistill.bounds import choose
from tfdistill.commands import command_line
from tfdistill.runs import run_exports
from tfdistill.runs.data import RunData
from tfdistill.runs.folder import RunFolder
from tfdistill.runs.trained import Trained, load_trained
from tfdistill.standalone.calling import program

COMMAND = "export"


def export(values: flags.FlagValues, folder: RunFolder, kept: int | None = None) -> int:
    """Exports, prints where the exports lie. Returns the exit status.

    Args:
        values: the flags.
        folder: the run's.
        kept: the epoch that it has kept, if one is meant.
    """
    with command_line.one_line_errors(program(COMMAND)):
        trained = load_trained(folder, values.export_epoch, kept=kept)
        networks = chosen_networks(trained, values.network)
        said: dict[str, Any] = {
            name: values[name].value for name in ("export_dir", "export_bad_images") if values[name].value
        }
        data = dataclasses.replace(trained.data, config=dataclasses.replace(trained.data.config, **said))
        run_exports.check_exports({network.name: network for network in networks}, data)
    print(f"{folder.path}, {trained.epoch}", flush=True)
    failed = False
    for network in networks:
        found, written = export_one(trained, data, network, again=values.again)
        for name, path in found.paths.items():
            print(
                f"{name}: {path}" + ("" if written else " is of this step already; --again writes another"), flush=True
            )
        for name, text in found.failures.items():
            failed = True
            print(f"{program(COMMAND)}: error: {name} is not exported: {text}", file=sys.stderr)
    return 1 if failed else 0


def chosen_networks(trained: Trained, name: str) -> list[keras.Model]:
    """The network of that name, or all where it is empty.

    Raises:
        ValueError: the run has no network of that name; the message has the nearest.
    """
    by_name = {network.name: network for network in trained.networks}
    return [choose("network", name, by_name)] if name else trained.networks


def export_one(
    trained: Trained, data: RunData, network: keras.Model, *, again: bool
) -> tuple[run_exports.Exports, bool]:
    """Exports a network of a run as the end of its training does.

    Args:
        trained: the run.
        data: the run's, with the flags that this export is to have.
        network: one of its networks.
        again: write a new version even if there is one of this step.

    Returns:
        The version's folder or what went wrong, and whether a version was written now.
    """
    before = set(Path(data.config.export_dir, data.config.run_name, network.name).glob("*"))
    found = run_exports.export_all(
        {network.name: network},
        data,
        rows=trained.rows,
        exported=trained.epoch,
        again=again,
        teachers=trained.teachers,
    )
    return found, not before.issuperset(found.paths.values())
