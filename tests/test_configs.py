"""Every flagfile under configs/ is a run that the command accepts, and says how to start it."""

from pathlib import Path

import pytest

from tfdistill import command_line
from tfdistill.networks import NETWORKS

CONFIGS = Path(__file__).resolve().parents[1] / "configs"
RUNNABLE = sorted(path for path in CONFIGS.rglob("*.flags") if path.parent.name != "base")


def config_of(path):
    values = command_line.run_flags()
    command_line.parse(values, [f"--flagfile={path}"])
    return command_line.run_config(values)


@pytest.mark.parametrize("path", RUNNABLE, ids=lambda path: str(path.relative_to(CONFIGS)))
def test_a_config_is_a_run_and_its_head_says_how_to_start_it(path):
    config = config_of(path)
    for name in config.networks:
        assert any(family.numbers(name) is not None for family in NETWORKS.values()), name
    head = path.read_text().split("\n--")[0]
    assert f"launch/train.py --flagfile=configs/{path.relative_to(CONFIGS)}" in head
    config.chosen_protocol()


def test_the_main_config_is_the_papers():
    config = config_of(CONFIGS / "ie_dml.flags")
    protocol = config.chosen_protocol()
    assert (config.method, config.dataset, config.networks) == ("ie_dml", "cifar100", ("resnet32", "resnet110_a"))
    assert (protocol.epochs, protocol.batch_size) == (160, 128)
    assert protocol.settings.milestones == (80, 120)
    assert (protocol.settings.learning_rate, protocol.settings.weight_decay) == (0.1, 5e-4)
    assert protocol.settings.nesterov
    assert config.to_dict()["hyperparameters"]["inheritance_weight"] == 50


def test_table_4_of_ie_kd_has_a_config_per_cell():
    names = {path.stem for path in (CONFIGS / "ie_kd_table4").iterdir()}
    pairs = ("resnet32_resnet110", "resnet32_wide_resnet_28_10", "resnet32_mobilenet", "resnet32_resnet32")
    assert names == {f"{method}_{pair}" for method in ("independent", "dml", "ie_dml") for pair in pairs}
    dml = config_of(CONFIGS / "ie_kd_table4" / "dml_resnet32_mobilenet.flags").chosen_protocol()
    assert (dml.epochs, dml.batch_size, dml.settings.milestones) == (200, 64, (60, 120, 180))


def test_the_small_configs_differ_in_nothing_but_the_method():
    small = [config_of(path).to_dict() for path in sorted((CONFIGS / "small").iterdir())]
    assert {one["method"] for one in small} == {"supervised", "dml", "ie_dml"}
    plain = [{name: one[name] for name in one if name not in ("method", "run", "hyperparameters")} for one in small]
    assert all(one == plain[0] for one in plain)
