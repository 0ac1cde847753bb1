"""What `--help` prints: groups, defaults in words, lines of the terminal's width."""

import dataclasses

import pytest

from tfdistill.commands import analyze, command_line, evaluate, export, preview, table, train
from tfdistill.commands.usage import usage
from tfdistill.methods import METHODS
from tfdistill.optimizers import PROTOCOLS
from tfdistill.runs.config import RunConfig
from tfdistill.runs.fields import GROUPS
from tfdistill.transfers import TRANSFERS

COMMANDS = {
    "train": train.train_flags,
    "evaluate": evaluate.evaluate_flags,
    "analyze": analyze.analyze_flags,
    "export": export.export_flags,
    "preview": preview.preview_flags,
    "table": table.table_flags,
}


@pytest.fixture(autouse=True)
def no_terminal(monkeypatch):
    monkeypatch.setenv("COLUMNS", "0")


def entries(*arguments: str) -> dict[str, str]:
    """By a flag, as it is written, what is printed below it."""
    values = train.train_flags()
    command_line.parse(values, arguments)
    found: dict[str, str] = {}
    for line in usage("train.py", values).splitlines():
        if line.startswith("  --"):
            found[flag := line.strip()] = ""
        elif line.startswith("      "):
            found[flag] = f"{found[flag]} {line.strip()}".strip()
    return found


@pytest.mark.parametrize("command", COMMANDS)
def test_every_flag_of_every_command_is_described(command):
    values = COMMANDS[command]()
    assert set(values.descriptions) == {name for name in values if len(name) > 1}
    for name, one in values.descriptions.items():
        assert len(one.text) > 5 and one.group, name
        assert one.text.endswith(".") and not one.text.lower().startswith(("of ", "what ")), name
        if "." not in name:
            needs_words = one.default in (None, 0, "", ()) and one.kind is not bool and name != "explain"
            assert bool(one.unset) or not needs_words, f"{name} does not say what {one.default!r} stands for"
    lines = usage(command, values).splitlines()
    assert lines[0] == f"usage: {command} [--flagfile=FILE] [--flag=value ...]"
    assert max(map(len, lines)) <= 80
    titles = [line for line, before in zip(lines[1:], lines, strict=False) if not before and line[:1].isalpha()]
    assert titles[-1] == "Help"


def test_lines_are_as_wide_as_the_terminal(monkeypatch):
    monkeypatch.setenv("COLUMNS", "120")
    assert 100 < max(map(len, usage("train.py", train.train_flags()).splitlines())) <= 120


def test_flags_stand_in_groups_and_those_of_a_method_are_shown_for_it():
    values = train.train_flags()
    lines = usage("train.py", values).splitlines()
    titles = [line for line, before in zip(lines[1:], lines, strict=False) if not before and line[:1].isalpha()]
    assert titles == [*(group.__doc__ for group in GROUPS), "Help"]
    assert not any(line.startswith("  --dml.") for line in lines)
    text = " ".join(lines)
    assert "--help --method=NAME prints the flags of a method too: supervised, dml, afd," in text
    assert text.endswith(f"--help --also=NAME prints those of a transfer: {', '.join(TRANSFERS)}.")
    command_line.parse(values, ["--method=dml", "--also=kd"])
    lines = usage("train.py", values).splitlines()
    assert {"Method dml", "Transfer kd"} <= set(lines)
    text = " ".join(lines)
    assert "  --dml.update=alternating|joint" in lines and "flags of a method too: supervised, afd," in text
    assert f"of a transfer: {', '.join(name for name in TRANSFERS if name != 'kd')}." in text


def test_a_method_that_is_none_is_refused():
    values = train.train_flags()
    command_line.parse(values, ["--method=dmm"])
    with pytest.raises(ValueError, match=r"method: 'dmm' is none of .*; nearest: dml"):
        usage("train.py", values)


def test_every_field_has_an_entry():
    found = [flag.partition("=")[0].partition(",")[0] for flag in entries()]
    names = [one.name for one in dataclasses.fields(RunConfig) if one.name != "hyperparameters"]
    names.insert(len(dataclasses.fields(GROUPS[0])), "chain")  # short for a method, at the end of its group
    assert found == [*(f"--{name}" for name in names), "--list", "--help", "--explain"]


@pytest.mark.parametrize("method", METHODS)
def test_defaults_say_what_they_stand_for(method):
    found, name = entries(f"--method={method}"), METHODS[method].protocol
    protocol = PROTOCOLS[name]
    milestones = ",".join(f"{one:g}" for one in protocol.settings.milestones)
    expected = {
        "--protocol=NAME": f"Default: the method's ({name} for {method}).",
        "--batch_size=N": f"Default: 0, the protocol's ({protocol.batch_size} in {name}).",
        "--learning_rate=NUMBER": f"Default: the protocol's ({protocol.settings.learning_rate:g} in {name}).",
        "--optimizer=sgd|adam|adamw": f"Default: the protocol's ({protocol.settings.kind} in {name}).",
        "--milestones=NUMBER,NUMBER": f"Default: the protocol's ({milestones} in {name}).",
    }
    assert {flag: found[flag][found[flag].index("Default:") :] for flag in expected} == expected


def test_entries_read_well():
    found = entries("--method=afd", "--protocol=ie_cifar")
    assert found["--batch_size=N"].endswith("Default: 0, the protocol's (128 in ie_cifar).")
    assert found["--nesterov, --nonesterov"].endswith("Default: the protocol's (--nesterov in ie_cifar).")
    assert found["--export, --noexport"] == "Export every network at the end. Default: --export."
    assert found["--run=NAME"].endswith("Default: made from method, networks, data set and seed.")
    assert (
        found["--epochs=N"].startswith("Length of the run, in epochs.")
        and "A whole number in 0..1,000,000." in found["--epochs=N"]
    )
    assert found["--label_noise_seed=N"].endswith("Default: --seed.")
    assert found["--runs_dir=FOLDER"].endswith("Default: runs.")
    assert found["--afd.feature_milestones=NUMBER,NUMBER"].endswith(
        "A number in 0..1,000,000 (0 excluded). Default: 75,150."
    )
    assert "--reading=auto|resize|crop|resize_crop" in found and not any("%%" in text for text in found.values())
