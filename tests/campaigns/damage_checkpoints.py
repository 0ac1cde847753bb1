"""Damages checkpoints in every way, and looks at what is read: the older whole one with a warning, or one line.

    python tests/campaigns/damage_checkpoints.py --cases=2000

Each case is tried twice: beside an older whole checkpoint, and alone. Prints what came of them; ends with status 1 if
wrong arrays were read, a damaged one was passed over without its name, or anything but one line was raised.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from absl import logging

from tfdistill.runs import checkpoints

FILES = ("arrays.npz", "manifest.json")
Damage = Callable[[Path], object]  # of a checkpoint's folder
HARMLESS, NAMED, ONE_LINE, NO_CHECKPOINT = "read, as it was", "older one, named", "one line", "none there any more"


def arrays_of(seed: int) -> dict[str, np.ndarray]:
    draw = np.random.default_rng(seed)
    floats = {f"networks/one/{i:04d}/kernel": draw.normal(size=(3, i + 1)).astype("float32") for i in range(5)}
    return {**floats, "optimizers/one/0000/iterations": np.int64(seed), "metrics/loss/0000/total": np.float32(seed)}


def changed(name: str, change: Callable[[bytes], bytes]) -> Damage:
    return lambda folder: (folder / name).write_bytes(change((folder / name).read_bytes()))


def put_instead(make: Callable[[Path], object], name: str) -> Damage:
    def damage(folder: Path) -> None:
        (folder / name).unlink()
        make(folder / name)

    return damage


def cut(position: int) -> Callable[[bytes], bytes]:
    return lambda data: data[: position % len(data)]


def flipped(position: int, bit: int) -> Callable[[bytes], bytes]:
    return lambda data: bytes(b ^ (1 << bit if i == position % len(data) else 0) for i, b in enumerate(data))


def zeroed(position: int, length: int) -> Callable[[bytes], bytes]:
    return lambda data: data[: position % len(data)] + bytes(length) + data[position % len(data) + length :]


def said_otherwise(path: tuple[str, ...], value: object) -> Damage:
    """The manifest, still JSON, with another value or another kind of value at a place."""

    def damage(folder: Path) -> None:
        manifest = json.loads((folder / "manifest.json").read_text())
        part = manifest
        for name in path[:-1]:
            part = part[name]
        part[path[-1]] = value
        (folder / "manifest.json").write_text(json.dumps(manifest, indent=1))

    return damage


def swapped(folder: Path, name: str) -> None:
    shutil.copy(folder.with_name("other") / name, folder / name)


def damages(count: int, seed: int) -> Iterator[tuple[str, Damage]]:
    """So many, the ones that are listed first."""
    for name in FILES:
        yield f"{name} missing", lambda folder, name=name: (folder / name).unlink()
        yield f"{name} empty", changed(name, lambda data: b"")
        yield f"{name} of another step", lambda folder, name=name: swapped(folder, name)
        yield f"{name} twice", changed(name, lambda data: data + data)
        yield f"{name} with a tail", changed(name, lambda data: data + b"\0")
        yield f"{name} renamed", lambda folder, name=name: (folder / name).rename(folder / f"{name}.bak")
        yield f"{name} a folder", put_instead(Path.mkdir, name)
        yield f"{name} a pipe", put_instead(os.mkfifo, name)
        yield f"{name} a link to nowhere", put_instead(lambda path: path.symlink_to("nowhere"), name)
        yield f"{name} a link to itself", put_instead(lambda path: path.symlink_to(path.name), name)
    for text in (
        "",
        "null",
        "[]",
        "1",
        '"text"',
        "{}",
        '{"format_version": 1}',
        "[" * 50_000,
        "{" * 9,
        "\ufeff{}",
        "NaN",
    ):
        yield f"manifest is {text[:9]!r}", changed("manifest.json", lambda data, text=text: text.encode())
    paths = [("step",), ("format_version",), ("sha256",), ("metadata",), ("arrays",), ("file",)]
    for path in (*paths, ("file", "bytes"), ("file", "sha256"), ("metadata", "epoch")):
        for value in (None, -1, 1e300, "x", [], {}, True):
            yield f"manifest says {'.'.join(path)}={value!r}", said_otherwise(path, value)
    yield "both of another step", lambda folder: [swapped(folder, name) for name in FILES]
    for name in ("step_00000009", "step_2", "step_00000002.writing", "step_00000002.bak", "00000002"):
        yield f"folder named {name}", lambda folder, name=name: folder.rename(folder.with_name(name))
    yield "folder empty", lambda folder: [(folder / name).unlink() for name in FILES]
    yield "folder a file", lambda folder: (shutil.rmtree(folder), folder.write_text("x"))
    yield "folder a link to itself", lambda folder: (shutil.rmtree(folder), folder.symlink_to(folder.name))
    draw = random.Random(seed)
    for _ in range(count):
        name, position = draw.choice(FILES), draw.randrange(1 << 20)
        kind = draw.choice(["cut", "flipped", "zeroed"])
        change = {
            "cut": cut(position),
            "flipped": flipped(position, draw.randrange(8)),
            "zeroed": zeroed(position, draw.choice([1, 4, 64, 512])),
        }[kind]
        yield f"{name} {kind} at {position}", changed(name, change)


def outcome(folder: Path, newest: Path, warnings: list[str], *, alone: bool) -> str:
    """What reading gives; begins with "wrong" where it should not be so."""
    try:
        found = checkpoints.newest(folder)
    except checkpoints.CheckpointError as error:
        named = any(path.name in str(error) for path in folder.glob("step_*"))
        return ONE_LINE if alone and "\n" not in str(error) and named else f"wrong: {error}"
    except Exception as error:
        return f"wrong: {type(error).__name__}: {error}"
    if found is None:
        return NO_CHECKPOINT if alone and not newest.exists() else "wrong: nothing found"
    expected = arrays_of(found.step)
    same = found.arrays.keys() == expected.keys() and all(
        found.arrays[name].tobytes() == array.tobytes() for name, array in expected.items()
    )
    if not same or found.metadata != {"epoch": found.step}:
        return "wrong: other arrays were read"
    if found.step == 2:
        return HARMLESS
    if any(newest.name in line for line in warnings):
        return NAMED
    # Under another name it is no checkpoint, or one whose own name is in the warning.
    return NO_CHECKPOINT if not newest.exists() else "wrong: passed over without its name"


def try_all(cases: int, seed: int = 1) -> tuple[Counter[str], list[str]]:
    """How often what came of a damage, and the cases that went wrong."""
    warnings: list[str] = []
    real, counts, wrong = logging.warning, Counter(), []
    logging.warning = lambda text, *arguments: warnings.append(text % arguments)
    try:
        with tempfile.TemporaryDirectory() as scratch:
            whole = Path(scratch, "whole")
            for step in (1, 2):
                checkpoints.save(whole, step, arrays_of(step), {"epoch": step})
            for title, damage in damages(cases, seed):
                for alone in (False, True):
                    folder = Path(scratch, "tried")
                    shutil.copytree(whole, folder)
                    (folder / "step_00000001").rename(folder / "other") if alone else shutil.copytree(
                        folder / "step_00000001", folder / "other"
                    )
                    warnings.clear()
                    damage(folder / "step_00000002")
                    found = outcome(folder, folder / "step_00000002", warnings, alone=alone)
                    counts[found.split(":")[0]] += 1
                    wrong += [f"{title}{', alone' if alone else ''}: {found}"] if found.startswith("wrong") else []
                    shutil.rmtree(folder)
    finally:
        logging.warning = real
    return counts, wrong


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", type=int, default=1000, help="at random places, beside those that are listed")
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    counts, wrong = try_all(arguments.cases, arguments.seed)
    print(
        f"{counts.total()} damaged checkpoints: {', '.join(f'{count} {what}' for what, count in counts.most_common())}"
    )
    print("\n".join(wrong))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
