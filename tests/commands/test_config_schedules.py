"""When the learning rates drop in every run under configs/, helpers' rates too, against what the papers say."""

import inspect
import re
from pathlib import Path

import numpy as np
import pytest

from tfdistill import networks
from tfdistill.methods import AFD, FFL, METHODS
from tfdistill.runs.building import method_of
from tfdistill.runs.config import RunConfig
from tfdistill.tables import read_table

CONFIGS = Path(__file__).resolve().parents[2] / "configs"
FLAGFILES = [
    path for path in CONFIGS.rglob("*.flags") if path.parent.name != "base" and path.name != "your_images.flags"
]
TABLES = [path for paper in ("afd_table*", "dcm_table*", "ie_kd_table4") for path in CONFIGS.glob(f"{paper}.toml")]
# As --flagfile has them, below configs/.
RUNS = sorted(str(path.relative_to(CONFIGS)) for path in FLAGFILES) + sorted(
    f"{path.name}:{row.name}" for path in TABLES for row in read_table(path).rows.values() if not row.needs
)

AFD_CIFAR = (300, 128, 0.1, 0.1, (150, 225))
DCM_WIDE = (200, 128, 0.1, 0.2, (59, 119, 159))
DCM_RESNET = (164, 128, 0.1, 0.1, (81, 122))
DCM_DENSENET = (300, 64, 0.1, 0.1, (150, 225))
DCM_IMAGENET = (90, 256, 0.1, 0.1, (30, 60))
DML = (200, 64, 0.1, 0.1, (60, 120, 180))
IE_KD = (160, 128, 0.1, 0.1, (80, 120))
# Flagfile or row, and the epochs, the batch, the rate, its factor, and the epochs at which it drops.
PROTOCOLS = {
    r"afd_table[1-5]:.*|afd|one|alignment|cl_ilr|ensemble_kd|ffl|kdcl|supervised": AFD_CIFAR,
    r"afd_table6:.*": (30, 256, 0.01, 0.1, (10, 20)),
    r"dcm_table1:\w*_densenet_.*|dcm_table4:\w*densenet_40_12|dcm_table5:.*|dcm_table6:\w*densenet.*": DCM_DENSENET,
    r"dcm_table7:.*": DCM_DENSENET,
    r"dcm_table[16]:(dcm|dml|independent|ds)_resnet164.*": DCM_RESNET,
    r"dcm_table2:\w+_mobilenet_v2": (150, 256, 0.05, 0.1, "cosine"),
    r"dcm_table2:.*": DCM_IMAGENET,
    r"dcm_table[1346]:.*|dcm": DCM_WIDE,
    r"ie_kd_table4:(dml|independent)_.*": DML,
    r"ie_kd_table4:ie_dml_.*|ie_dml": IE_KD,
    r"dml|mutual": DML,
    r"kd|distillation|tf_kd|tf_kd_reg": IE_KD,
    r"mse|sequential|chain|od|jacobian": (200, 128, 0.1, 0.1, (100, 150)),
    # 30 epochs go before.
    r"ft|ie_ft|ie_at|ie_od": (190, 128, 0.1, 0.1, (80, 120)),
    r"ab": (230, 128, 0.1, 0.1, (100, 150)),
    r"dkd|fitnet|at|nst|vid|review_kd|sp|cc|rkd|pkt|crd|sim_kd": (240, 64, 0.05, 0.1, (150, 180, 210)),
    r"pkd|cwd": (232, 32, 1e-3, 0.1, (80_000 / 517, 100_000 / 517)),
    # At their shares of the 262, of which 30 go before.
    r"ssd_ie_od": (262, 32, 1e-3, 0.1, (262 / 232 * 80_000 / 517, 262 / 232 * 100_000 / 517)),
    r"dist": (100, 256, 0.1, 0.1, (30, 60, 90)),
    # A half and three quarters of the run, as IE-KD's 80 and 120 of 160 epochs.
    r"small/.*": (1, 64, 0.1, 0.1, (0.5, 0.75)),
    r"detection_quickstart": (12, 32, 0.05, 0.1, "cosine"),
    r"quickstart": (20, 64, 0.1, 0.1, (10, 15)),
}
# AFD's Adam (§4): 2e-5, a tenth from epochs 75 and 150 on, for feature extractors and discriminators alike. The 30
# epochs on ImageNet do not get there. In one epoch of ie_cifar's 160 they are at their shares of 160.
ADAM = ("adam", 2e-5, 0.1, (75, 150))
HELPERS = {
    r"afd_table[1-5]:(afd|adversarial_only)_.*|afd": {"features": ADAM, "discriminators": ADAM},
    r"afd_table2:decay_only_.*": {"features": ADAM},
    r"afd_table6:afd_.*": dict.fromkeys(("features", "discriminators"), ("adam", 2e-5, 0.1, ())),
    r"small/afd_.*": dict.fromkeys(("features", "discriminators"), ("adam", 2e-5, 0.1, (75 / 160, 150 / 160))),
    # FFL's second optimizer has the networks' rate and schedule.
    r"ffl": {"fusion": ("sgd", 0.1, 0.1, (150, 225))},
    r"small/ffl_.*": {"fusion": ("sgd", 0.1, 0.1, (0.5, 0.75))},
}


def row_of(table, run, default=None):
    stem = run.replace(".toml:", ":").removesuffix(".flags")
    return next((row for pattern, row in table.items() if re.fullmatch(pattern, stem)), default)


@pytest.fixture(scope="module")
def distillers():
    """A method of two small networks, made once for each choice of hyper-parameters."""
    *peers, teacher = (
        networks.build("resnet8", classes=4, image_shape=(8, 8, 3), seed=k, model_name=f"peer{k}") for k in range(3)
    )
    made = {}

    def make(config):
        key = (config.method, tuple(sorted(config.hyperparameters.items())))
        if key not in made:
            needs_one = "teachers" in inspect.signature(METHODS[config.method]).parameters
            made[key] = method_of(config, peers, [teacher] if needs_one else [], lambda: np.arange(4))
        return made[key]

    return make


def drops(settings, epochs):
    """The epochs at which a rate drops before the run ends."""
    return tuple(milestone for milestone in settings.milestones if milestone < epochs)


@pytest.mark.parametrize("run", RUNS)
def test_rates_drop_when_the_paper_says(run, config_of, distillers):
    config = config_of(CONFIGS / run)
    epochs, batch, rate, factor, milestones = row_of(PROTOCOLS, run)
    protocol = config.chosen_protocol()
    assert (protocol.epochs, protocol.batch_size) == (epochs, batch)
    groups = config.optimizers(distillers(config).recipe)
    own = groups.pop("networks")
    assert (own.kind, own.learning_rate, own.factor) == ("sgd", rate, factor)
    assert (milestones == "cosine" and own.schedule == "cosine") or drops(own, epochs) == pytest.approx(milestones)
    expected = row_of(HELPERS, run, {})
    assert groups.keys() == expected.keys()
    for name, (kind, rate, factor, milestones) in expected.items():
        found = groups[name]
        assert (found.kind, found.learning_rate, found.factor) == (kind, rate, factor), name
        assert drops(found, epochs) == pytest.approx(milestones), name


def test_the_note_of_afds_imagenet_says_what_adam_does(config_of, distillers):
    row = read_table(CONFIGS / "afd_table6.toml").rows["afd_resnet18_resnet34"]
    assert "stays at 2e-5: its drops, at epochs 75 and 150, lie beyond the run" in row.note
    config = config_of(CONFIGS / "afd_table6.toml:afd_resnet18_resnet34")
    features = config.optimizers(distillers(config).recipe)["features"]
    assert (features.milestones, features.weight_decay) == ((75, 150), 0.1)


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        ({}, (75, 150)),
        ({"epochs": 30}, (7.5, 15)),  # a run that is a tenth of its protocol
        ({"protocol": "afd_imagenet"}, (75, 150)),
        ({"protocol": "ie_cifar"}, (75, 150)),
        ({"protocol": "ie_cifar", "epochs": 16}, (7.5, 15)),
    ],
)
def test_a_methods_milestones_are_epochs_of_the_runs_protocol(distillers, flags, expected):
    config = RunConfig(method="afd", networks=("resnet8", "resnet8"), **flags)
    for group in ("features", "discriminators"):
        assert config.optimizers(distillers(config).recipe)[group].milestones == pytest.approx(expected)


def test_ffls_fusion_goes_by_the_networks_schedule_whatever_that_is(distillers):
    config = RunConfig(method="ffl", protocol="dcm_wide_resnet", learning_rate=0.05, epochs=20)
    groups = config.optimizers(distillers(config).recipe)
    for group in groups.values():
        assert (group.learning_rate, group.factor, group.milestones) == (0.05, 0.2, pytest.approx((5.9, 11.9, 15.9)))
    assert (groups["fusion"].nesterov, groups["fusion"].weight_decay) == (True, 1e-5)
    assert (groups["networks"].nesterov, groups["networks"].weight_decay) == (False, 5e-4)
    still = RunConfig(method="ffl", momentum=0.0, nesterov=False, schedule="cosine")
    fusion = still.optimizers(distillers(still).recipe)["fusion"]
    assert (fusion.schedule, fusion.momentum, fusion.nesterov) == ("cosine", 0.0, False)


def test_no_other_method_has_helpers_with_rates_of_their_own():
    theirs = {method for method in METHODS.values() if "recipe" in vars(method)}
    assert theirs == {AFD, FFL}
