"""What a command answers without TensorFlow and Keras, which take seconds to import."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tfdistill.runs.config import RunConfig
from tfdistill.runs.folder import RunFolder

ROOT = Path(__file__).resolve().parents[2]
# Every case in one process, which ends at the first that imports one of the two.
PROGRAM = """
import contextlib, importlib, io, json, os, sys, types

for module, arguments, status in json.loads(sys.argv[1]):
    output = io.StringIO()
    with contextlib.redirect_stdout(output), contextlib.redirect_stderr(output):
        try:
            found = importlib.import_module(module).main(arguments)
        except SystemExit as ended:
            found = ended.code
    heavy = {"tensorflow", "keras"} & set(sys.modules)
    if heavy or found != status:
        sys.exit(f"{module} {arguments}: status {found}, imported {sorted(heavy)}: {output.getvalue()[-500:]}")
# A training whose flags are good, until it would import TensorFlow, and then sees what the environment says.
sys.modules["tfdistill.commands.training"] = types.SimpleNamespace(
    train=lambda config, folder, signals: print(config.products, os.environ.get("TF_SET_ONEDNN_FPMATH_MODE"))
)
main = importlib.import_module("tfdistill.commands.train").main
main(["--products=bfloat16", "--runs_dir=nowhere"])
main(["--runs_dir=nowhere"])
# Who scores or exports a run computes as it did.
for name, work in (("evaluate", "evaluating"), ("analyze", "analyzing"), ("export", "exporting")):
    os.environ.pop("TF_SET_ONEDNN_FPMATH_MODE", None)
    said = lambda *given: print(work, os.environ.get("TF_SET_ONEDNN_FPMATH_MODE"))
    sys.modules[f"tfdistill.commands.{work}"] = types.SimpleNamespace(**{name: said})
    importlib.import_module(f"tfdistill.commands.{name}").main(
        ["--run=rounded", f"--runs_dir={sys.argv[2]}", *(["--what=cka"] if name == "analyze" else [])]
    )
print("nothing of it; oneDNN", os.environ["TF_ENABLE_ONEDNN_OPTS"], {"tensorflow", "keras"} & set(sys.modules))
"""
TRAIN = [
    (["--help"], 0),
    (["--help", "--method=dml"], 0),
    (["--list"], 0),
    (["--bach_size=3"], 2),
    (["--epochs=many"], 2),
    (["--method=dmm"], 2),
    (["--explain=dmm"], 2),
    (["--networks=resnt20"], 2),
    (["--networks=resnet20:imagenet"], 2),
    (["--dataset=digit"], 2),
    (["--augmentation=cutmx"], 2),
    (["--method=dml", "--dml.temperature=0"], 2),
    (["--method=dml", "--ie_dml.metric=l2"], 2),
    (["--method=dml", "--kd.weight=2"], 2),
    (["--schedule=step", "--milestones=3,2"], 2),
    (["--flagfile=nowhere.flags"], 2),
]
WITH_HELP = ("evaluate", "analyze", "export", "preview", "table")
OTHERS = [
    ("analyze", ["--run=nobody", "--what=cak"], 2),
    ("analyze", ["--run=nobody"], 2),
    ("evaluate", [], 2),
    ("evaluate", ["--run=nobody", "--split=tset"], 2),
    ("evaluate", ["--run=nobody", "--export_epoch=first"], 2),
    ("export", ["--run=nobody", "--runs_dir=nowhere"], 2),
    ("table", ["few_images", "--notrain", "--runs_dir=nowhere"], 0),
    ("table", ["few_images", "--set", "epohcs=2"], 2),
    ("table", ["few_images", "--set=kd.weight=2"], 2),
    ("preview", ["--list"], 0),
    ("preview", ["--count=0"], 2),
    ("preview", ["--out=nowhere/picture.png"], 2),
]


@pytest.fixture
def finished(tmp_path):
    """The flags of a run that has its results."""
    config = RunConfig(run="done", networks=("resnet8",), epochs=1, export=False, runs_dir=str(tmp_path))
    folder = RunFolder(tmp_path / "done")
    folder.path.mkdir()
    folder.write_flags(config, {})
    folder.results.write_text('{"step": 2, "planned_steps": 2}')
    return ["--run=done", "--networks=resnet8", "--epochs=1", "--noexport", f"--runs_dir={tmp_path}"]


def test_help_lists_refusals_and_finished_runs_import_neither(finished, tmp_path):
    refused = [*finished, "--batch_size=3"]
    cases = [("tfdistill.commands.train", *case) for case in [*TRAIN, (finished, 0), (refused, 2)]]
    cases += [(f"tfdistill.commands.{name}", ["--help"], 0) for name in WITH_HELP]
    cases += [(f"tfdistill.commands.{name}", *case) for name, *case in OTHERS]
    there = ["--run=done", finished[-1]]
    cases += [("tfdistill.commands.export", [*there, f"--export_{one}=some"], 2) for one in ("epoch", "bad_images")]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    for name in ("TF_ENABLE_ONEDNN_OPTS", "TF_SET_ONEDNN_FPMATH_MODE"):
        environment.pop(name, None)
    rounded = RunFolder(tmp_path / "rounded")
    rounded.path.mkdir()
    rounded.write_flags(RunConfig(run="rounded", products="bfloat16"), {})
    command = [sys.executable, "-c", PROGRAM, json.dumps(cases), str(tmp_path)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout == (
        "bfloat16 BF16\nfloat32 \nevaluating BF16\nanalyzing BF16\nexporting BF16\nnothing of it; oneDNN 1 set()\n"
    )
    # The second training found the variable of the first.
    assert done.stderr.count("\n") == 1 and "TF_SET_ONEDNN_FPMATH_MODE=BF16 is set aside" in done.stderr
