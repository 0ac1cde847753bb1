"""A run that is killed goes on, and ends as if nothing had happened; ten kills: tests/kill_and_resume.py."""

import importlib.util
import signal
from pathlib import Path

SMALL = ("--method=supervised", "--networks=resnet8", "--epochs=4", "--checkpoint_seconds=0")


def load_script():
    path = Path(__file__).with_name("kill_and_resume.py")
    spec = importlib.util.spec_from_file_location("kill_and_resume", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_a_killed_run_ends_bit_identical_and_names_a_damaged_checkpoint(tmp_path):
    script = load_script()
    undisturbed = script.start(tmp_path, "undisturbed", *SMALL)
    killed = script.start(tmp_path, "killed", *SMALL)
    for line in killed.stdout:
        if line.startswith("epoch 2"):
            killed.kill()
    assert killed.wait() == -signal.SIGKILL
    newest = max((tmp_path / "killed" / "checkpoints").glob("step_????????"))
    with open(newest / "arrays.npz", "r+b") as file:
        file.seek(1000)
        byte = file.read(1)
        file.seek(1000)
        file.write(bytes([byte[0] ^ 1]))

    again = script.start(tmp_path, "killed", *SMALL)
    output = again.communicate()[0]
    assert again.returncode == 0, output
    assert f"checkpoint {newest} is damaged" in output
    assert "going on from" in output
    assert undisturbed.wait() == 0
    assert script.differences(tmp_path, "undisturbed", "killed") == []
