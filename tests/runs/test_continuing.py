"""With which flags a training goes on: the length of a run, and how a refusal says what was and what is."""

import dataclasses
from pathlib import Path

import pytest

from tfdistill.optimizers import OptimizerSettings
from tfdistill.runs.checkpoints import Checkpoint
from tfdistill.runs.config import RunConfig
from tfdistill.runs.continuing import grows, refusal, training_flags
from tfdistill.runs.identity import identity, misfit

TEN = RunConfig(networks=("resnet8",), epochs=10, schedule="constant")


def longer(config: RunConfig) -> RunConfig:
    return dataclasses.replace(config, epochs=20)


def test_a_constant_rate_lets_a_run_become_longer_and_never_shorter():
    assert refusal(TEN.to_dict(), longer(TEN)) == "" and grows(TEN.to_dict(), longer(TEN))
    assert refusal(longer(TEN).to_dict(), TEN).startswith("--epochs=10 (it was 20; a run becomes no shorter, --steps")


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"schedule": "cosine"}, "a cosine schedule ends with the run"),
        ({"schedule": "step"}, "the milestones would move from 5,7.5 to 10,15"),
    ],
)
def test_a_schedule_that_knows_the_length_says_why_it_stays(changes, why):
    config = dataclasses.replace(TEN, **changes)
    assert why in refusal(config.to_dict(), longer(config))


@pytest.mark.parametrize(("epochs", "said"), [(0, " from 3,6,9 to 6,12,18"), (4, "")])
def test_where_milestones_would_move_is_said_but_behind_a_preparation(epochs, said):
    preparation = {"fitnet.preparation_epochs": epochs}
    config = dataclasses.replace(
        TEN,
        schedule="step",
        method="dml",
        networks=("resnet8", "resnet8"),
        also=("fitnet",),
        hyperparameters=preparation,
    )
    assert f"the milestones would move{said}, and" in refusal(config.to_dict(), longer(config))


def test_helpers_whose_rates_would_move_keep_a_run_as_long_as_it_is():
    def recipe(networks, *, stretch):
        helpers = OptimizerSettings(schedule="step", milestones=(40 * stretch,))
        return {"networks": networks, "helpers": helpers}

    moved = "the milestones would move from 2.5 to 5"
    assert moved in refusal(TEN.to_dict(), longer(TEN), recipe)
    found = Checkpoint(4, {}, {**identity(TEN)}, Path("step_00000004"))
    assert moved in misfit(longer(TEN), {}, recipe=recipe)(found) and misfit(TEN, {}, recipe=recipe)(found) == ""
    assert refusal(TEN.to_dict(), longer(TEN), lambda networks, *, stretch: {"networks": networks}) == ""


def test_the_length_of_the_protocol_said_once_more_is_no_change():
    default = dataclasses.replace(TEN, epochs=0)
    said = dataclasses.replace(TEN, epochs=default.chosen_protocol().epochs)
    assert refusal(default.to_dict(), said) == "" and not grows(default.to_dict(), said)


def test_transfers_are_part_of_what_a_run_is():
    added = dataclasses.replace(TEN, method="dml", also=("kd",), hyperparameters={"weight": 2.0, "kd.weight": 0.5})
    other = dataclasses.replace(added, hyperparameters={"weight": 2.0, "kd.temperature": 2.0})
    products = dataclasses.replace(TEN, products="bfloat16")
    assert refusal(products.to_dict(), TEN) == "--products=float32 (it was bfloat16)"
    assert refusal({**TEN.to_dict(), "products": "float32"}, products) == "--products=bfloat16 (it was float32)"
    expected = "--kd.temperature=2.0 (it was 4.0), --kd.weight=1.0 (it was 0.5)"
    assert refusal(added.to_dict(), other) == expected and refusal(added.to_dict(), added) == ""
    without = dataclasses.replace(added, also=(), hyperparameters={"weight": 2.0})
    before = {name: value for name, value in without.to_dict().items() if name != "also"}
    assert refusal(before, without) == "" and refusal(before, added) == "--also=kd (it was )"


def test_old_and_new_values_are_named_and_what_changes_no_training_is_not():
    new = dataclasses.replace(TEN, seed=3, augmentation=("standard", "cutout"), steps=5, run="other")
    assert refusal(TEN.to_dict(), new) == "--augmentation=standard,cutout (it was standard), --seed=3 (it was 1)"
    assert refusal(training_flags(TEN), dataclasses.replace(TEN, steps=5, run="other")) == ""
