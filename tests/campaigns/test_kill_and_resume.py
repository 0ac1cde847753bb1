"""A killed run goes on, and ends as if nothing had happened; the campaign: tests/campaigns/kill_and_resume.py."""

import importlib.util
import sys
from pathlib import Path

import pytest

SMALL = ("--method=supervised", "--networks=resnet8")


def load_script(name: str):
    path = Path(__file__).with_name(f"{name}.py")
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # where `dataclass` looks for it
    spec.loader.exec_module(module)
    return module


killed_at = load_script("killed_at")
script = load_script("kill_and_resume")


def test_a_run_that_is_killed_again_and_again_ends_bit_identical_and_names_a_damaged_checkpoint(tmp_path):
    undisturbed = script.start(tmp_path, "undisturbed", *SMALL)
    places = ["epoch, in epochs.csv alone", "export, published"]
    assert script.live(tmp_path, "killed", places[:1], *SMALL, to_the_end=False) == places[:1]
    newest = max((tmp_path / "runs" / "killed" / "checkpoints").glob("step_????????"))
    with open(newest / "arrays.npz", "r+b") as file:
        file.seek(1000)
        byte = file.read(1)
        file.seek(1000)
        file.write(bytes([byte[0] ^ 1]))
    again = script.start(tmp_path, "killed", *SMALL, place=places[1])
    output = again.communicate()[0]
    assert f"checkpoint {newest} is damaged" in output and "going on from" in output, output
    assert script.live(tmp_path, "killed", [], *SMALL) == []
    assert undisturbed.wait() == 0, undisturbed.stdout.read()
    assert script.differences(tmp_path, "undisturbed", "killed") == []


@pytest.mark.parametrize("name", list(killed_at.PLACES))
def test_every_place_is_there(name):
    function = killed_at.PLACES[name].function
    assert callable(getattr(killed_at.owner_of(function), function.rsplit(".", 1)[1]))


def test_all_methods_together_die_everywhere():
    methods = ["a", "b", "c"]
    hands = script.deal(methods, 60, seed=1)
    assert {place for hand in hands.values() for place in hand} == {*killed_at.PLACES, script.RANDOM}
    assert [len(hand) for hand in hands.values()] == [20, 20, 20]
    named = [place for place in hands["a"] if place != script.RANDOM]
    assert named == [place for place in killed_at.PLACES if place in named], "in the order of a run's life, each once"
    assert hands == script.deal(methods, 60, seed=1) != script.deal(methods, 60, seed=2)


def test_what_differs_is_found():
    assert script.unequal("x", {"a": 1.0, "b": [1, {"c": 2}]}, {"a": 1.0, "b": [1, {"c": 2}]}) == []
    assert script.unequal("x", {"a": float("nan")}, {"a": float("nan")}) == []
    assert script.unequal("x", {"a": 1.0, "d": 2}, {"a": 1.5}) == ["x: a: 1.0 and 1.5", "x: d: 2 and None"]
    assert script.without_times({"seconds": 1, "rows": [{"images_per_second": 2, "loss": 3}]}) == {
        "rows": [{"loss": 3}]
    }
