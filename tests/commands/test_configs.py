"""Every flagfile under configs/ is a run that the command accepts, and says how to start it."""

import re
from pathlib import Path

import pytest

from tfdistill.commands import command_line
from tfdistill.methods import METHODS
from tfdistill.networks import NETWORKS
from tfdistill.runs.hyperparameters import hyperparameters

CONFIGS = Path(__file__).resolve().parents[2] / "configs"
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


@pytest.mark.parametrize("method", METHODS)
def test_every_method_has_a_flagfile_that_names_its_paper_and_what_to_expect(method):
    path = CONFIGS / f"{method}.flags"
    assert config_of(path).method == method
    head = " ".join(path.read_text().split("\n--")[0].replace("\n#", " ").split())
    command = f"python launch/train.py --flagfile=configs/{method}.flags --seed=1"
    before, after = head.split(command)
    assert re.search(r"et al\.|and [A-Z]\w+, ", before) and re.search(r"\b20[12]\d\b", before), "whose method it is"
    assert re.search(r"(accuracy|error).* %|its figures are not given here", after), "what to expect"
    assert re.search(r"GPU|CPU", after), "what it takes"


# ResNet-32 has shortcut B in the authors' configurations, but A where two of them learn from each other; ResNet-110 A.
TABLE_4 = {
    "resnet32_resnet110": ("resnet32_b_ie_kd", "resnet110_a_ie_kd"),
    "resnet32_wide_resnet_28_10": ("resnet32_b_ie_kd", "wide_resnet_28_10"),
    "resnet32_mobilenet": ("resnet32_b_ie_kd", "mobilenet"),
    "resnet32_resnet32": ("resnet32_a_ie_kd", "resnet32_a_ie_kd"),
}
# Of 100 classes, counted from the architectures.
PARAMETERS = {
    "resnet32_a_ie_kd": 470_004,
    "resnet32_b_ie_kd": 472_756,
    "resnet110_a_ie_kd": 1_733_812,
    "wide_resnet_28_10": 36_536_884,
    "mobilenet": 3_309_476,
}


def test_the_networks_of_table_4_of_ie_kd_are_the_authors_and_its_heads_count_them():
    for path in (CONFIGS / "ie_kd_table4").iterdir():
        method = path.stem.split("_resnet32_")[0]
        networks = TABLE_4[path.stem.removeprefix(f"{method}_")]
        if path.stem == "independent_resnet32_resnet32":
            networks = ("resnet32_b_ie_kd", "resnet32_b_ie_kd")
        assert config_of(path).networks == networks, path
        head = path.read_text().replace("\n# ", " ")
        counts = re.search(r"The networks have ([\d,]+) and ([\d,]+) parameters", head).groups()
        assert [int(one.replace(",", "")) for one in counts] == [PARAMETERS[name] for name in networks], path
        shortcuts = [name.split("_")[1].upper() for name in networks if name.endswith("_ie_kd")]
        assert set(re.findall(r"\(shortcut ([AB])\)", head)) == set(shortcuts), path
    page = (CONFIGS.parent / "docs" / "networks.md").read_text()
    for name, count in PARAMETERS.items():
        row = next(line for line in page.splitlines() if line.startswith(f"| `{name.removesuffix('_ie_kd')}` "))
        assert f"| {count:,} |" in row


def test_the_main_config_is_the_papers():
    config = config_of(CONFIGS / "ie_dml.flags")
    protocol = config.chosen_protocol()
    assert (config.method, config.dataset, config.networks) == ("ie_dml", "cifar100", TABLE_4["resnet32_resnet110"])
    assert (protocol.epochs, protocol.batch_size) == (160, 128)
    assert protocol.settings.milestones == (80, 120)
    assert (protocol.settings.learning_rate, protocol.settings.weight_decay) == (0.1, 5e-4)
    assert protocol.settings.nesterov
    assert config.to_dict()["hyperparameters"]["inheritance_weight"] == 50


def test_table_4_of_ie_kd_has_a_config_per_cell():
    names = {path.stem for path in (CONFIGS / "ie_kd_table4").iterdir()}
    assert names == {f"{method}_{pair}" for method in ("independent", "dml", "ie_dml") for pair in TABLE_4}
    dml = config_of(CONFIGS / "ie_kd_table4" / "dml_resnet32_mobilenet.flags").chosen_protocol()
    assert (dml.epochs, dml.batch_size, dml.settings.milestones) == (200, 64, (60, 120, 180))


def test_the_small_configs_differ_in_nothing_but_the_method():
    files = sorted((CONFIGS / "small").iterdir())
    small = [config_of(path).to_dict() for path in files]
    assert [f"{one['method']}_resnet20.flags" for one in small] == [path.name for path in files]
    plain = [{name: one[name] for name in one if name not in ("method", "run", "hyperparameters")} for one in small]
    assert all(one == plain[0] for one in plain)
    assert all(one["hyperparameters"] == defaults_of(one["method"]) for one in small)


def defaults_of(method):
    """The hyper-parameters that a method has when nobody says any."""
    return {name: one.default for name, one in hyperparameters(method).items()}


WRN_PAIR = "wide_resnet_16_2_wide_resnet_28_2"
ALONE = ("resnet20", "resnet32", "resnet56", *(f"wide_resnet_{size}" for size in ("16_2", "16_4", "28_2", "28_4")))
DIFFERENT = (
    *("resnet32_resnet56", "resnet32_wide_resnet_16_4", "resnet56_wide_resnet_28_4", "resnet20_wide_resnet_28_10"),
    *("wide_resnet_16_2_wide_resnet_16_4", WRN_PAIR, "wide_resnet_16_2_wide_resnet_28_4"),
)
THREE = ("resnet32", "resnet56", "wide_resnet_16_2", "wide_resnet_28_2")


def copies(names, count):
    return ["_".join([name] * count) for name in names]


def cells(*columns):
    """File names without their ending, of (methods, networks) columns."""
    return {f"{method}_{networks}" for methods, rows in columns for method in methods for networks in rows}


FIRST_PAIRS = [*copies(("resnet32", "wide_resnet_16_2"), 2), WRN_PAIR]
AFD_TABLES = {
    1: cells(
        (["vanilla"], ("resnet32", "wide_resnet_16_2", "wide_resnet_28_2")), (("l1", "l1_kd", "afd"), FIRST_PAIRS)
    ),
    2: cells((("adversarial_only", "logits_only", "decay_only", "afd"), FIRST_PAIRS)),
    3: cells((["vanilla"], ALONE), (("dml", "one", "afd"), copies(ALONE, 2))),
    4: cells((("kd", "dml", "afd"), DIFFERENT)),
    5: cells((["vanilla"], THREE), (("dml", "one", "afd"), copies(THREE, 3))),
    6: cells((["vanilla"], ("resnet18", "resnet34")), (("dml", "afd"), ["resnet18_resnet34"])),
}
AFD_METHODS = {
    "vanilla": ("supervised", {}),
    "l1": ("alignment", {"logit_weight": 0.0}),
    "l1_kd": ("alignment", {"logit_weight": 1.0, "temperature": 3.0}),
    "adversarial_only": ("afd", {"logit_weight": 0.0}),
    "logits_only": ("afd", {"adversarial": "off", "temperature": 3.0}),
    "decay_only": ("afd", {"adversarial": "decay_only", "temperature": 3.0}),
    "afd": ("afd", {"logit_weight": 1.0, "temperature": 3.0}),
    "dml": ("dml", {"temperature": 3.0, "update": "alternating"}),
    "one": ("one", {"temperature": 3.0}),
    "kd": ("ensemble_kd", {"weight": 1.0, "temperature": 3.0}),
}


@pytest.mark.parametrize("table", AFD_TABLES)
def test_afd_has_a_config_per_cell_of_its_table_and_each_is_that_cell(table):
    files = {path.stem: path for path in (CONFIGS / f"afd_table{table}").iterdir()}
    assert files.keys() == AFD_TABLES[table]
    for stem, path in files.items():
        config, label = config_of(path), stem[: re.search("_(wide_)?resnet", stem).start()]
        method, arguments = AFD_METHODS[label]
        assert config.method == method, path
        chosen = config.to_dict()["hyperparameters"]
        assert {name: chosen[name] for name in arguments} == arguments, path
        names = "_".join(config.networks).replace("imagenet_", "").replace("resnet56_one", "resnet56")
        assert f"{label}_{names}" == stem
        data, protocol = ("imagenet2012", "afd_imagenet") if table == 6 else ("cifar100", "afd")
        assert (config.dataset, config.protocol) == (data, protocol), path


def test_runs_of_one_name_are_one_run():
    """As their heads start them: else the second would be refused, or taken for the first."""
    seen = {}
    for path in RUNNABLE:
        command = re.search(r"launch/train\.py (.*)", path.read_text().replace("\\\n#", " ")).group(1)
        arguments = command.replace("configs/", f"{CONFIGS}/").split()
        values = command_line.run_flags()
        command_line.parse(values, arguments)
        config = command_line.run_config(values).to_dict()
        assert seen.setdefault(config["run"], config) == config, path


DCM_BACKBONES = ("resnet164", "wide_resnet_28_10", "densenet_40_12", "wide_resnet_28_10_dropout")
DCM_PAIRS = [
    *copies(DCM_BACKBONES, 2),
    *(f"wide_resnet_28_10_{one}" for one in ("resnet110", "wide_resnet_28_4", "mobilenet")),
]
IMAGENET = ("resnet18", "mobilenet_v2", "resnet50")
IMAGENET_PAIRS = ["resnet18_resnet18", "mobilenet_v2_mobilenet_v2", "resnet50_resnet18"]
DCM_TABLES = {
    1: cells(
        (["independent"], (*DCM_BACKBONES, "resnet110", "wide_resnet_28_4", "mobilenet")), (("dml", "dcm"), DCM_PAIRS)
    ),
    2: cells((["independent"], IMAGENET), (("dml", "dcm"), IMAGENET_PAIRS)),
    3: {"dcm_c4", "dcm_c3", "dcm_c2", "dcm_c2_c3_c4"},
    4: cells((("dcm_pooled", "dcm_narrow"), ("densenet_40_12", "wide_resnet_28_10"))),
    5: {"dml_ds", "dcm_1", "dcm_2"},
    6: cells((["ds"], DCM_BACKBONES)),
    7: cells((("independent", "dml", "dcm"), ("noise_20", "noise_50", "noise_80"))),
}
# What differs from Table 1's DCM, by the file's name.
DCM_ABLATIONS = {
    3: {"c4": ("heads", "C4"), "c3": ("heads", "C3"), "c2": ("heads", "C2"), "c2_c3_c4": ("heads", "C2,C3,C4")},
    4: {kind: ("head_kind", kind) for kind in ("pooled", "narrow")},
    5: {"ds": ("pairs", "final"), "1": ("pairs", "same"), "2": ("pairs", "cross")},
    6: {"ds": ("pairs", "none")},
}


def dcm_files(table):
    return {path.stem: path for path in (CONFIGS / f"dcm_table{table}").iterdir()}


@pytest.mark.parametrize("table", DCM_TABLES)
def test_dcm_has_a_config_per_run_of_its_table(table):
    """The rows of Tables 3 to 6 that are runs of Table 1 are named there, and have no file of their own."""
    assert dcm_files(table).keys() == DCM_TABLES[table]


@pytest.mark.parametrize("table", [1, 2, 7])
def test_dcms_methods_are_trained_alike(table):
    for stem, path in dcm_files(table).items():
        config, label = config_of(path), stem.split("_")[0]
        assert config.method == {"independent": "supervised"}.get(label, label), path
        assert config.to_dict()["hyperparameters"] == defaults_of(config.method), path
        larger = (
            config.networks[0].removesuffix("_dcm") if len(config.networks) > 1 else stem.removeprefix("independent_")
        )
        protocol = (
            "dcm_imagenet"
            if table == 2
            else "dcm_densenet"
            if "densenet" in larger or table == 7
            else "dcm_wide_resnet"
        )
        assert config.protocol == ("dcm_resnet" if larger == "resnet164" else protocol), path
        if table == 7:
            assert config.dataset == "cifar10" and config.label_noise == int(stem.split("_")[-1]) / 100
        else:
            assert all(
                name.endswith("_dcm") for name in config.networks if "wide_resnet" in name or name == "mobilenet"
            )
            names = "_".join(config.networks).replace("imagenet_", "").replace("_dcm", "").replace("110_a", "110")
            assert (f"{label}_{names}", config.dataset) == (stem, "imagenet2012" if table == 2 else "cifar100")


@pytest.mark.parametrize("table", DCM_ABLATIONS)
def test_dcms_ablations_differ_from_table_1_in_one_thing(table):
    for stem, path in dcm_files(table).items():
        config = config_of(path)
        found = next(name for name in sorted(DCM_ABLATIONS[table], key=len, reverse=True) if name in stem)
        argument, value = DCM_ABLATIONS[table][found]
        assert config.to_dict()["hyperparameters"] == {**defaults_of("dcm"), argument: value}, path
        assert len(config.networks) == (1 if table == 6 else 2) and len(set(config.networks)) == 1
        backbone = config.networks[0].removesuffix("_dcm")
        assert ("wide_resnet" in backbone) == config.networks[0].endswith("_dcm")
        whole = config_of(CONFIGS / "dcm_table1" / f"dcm_{backbone}_{backbone}.flags")
        assert (config.method, config.protocol, config.normalization) == (whole.method, whole.protocol, "c10wrn")
        assert table not in (4, 6) or stem.endswith(f"_{backbone}")
        assert table not in (3, 5) or backbone == {3: "wide_resnet_28_10", 5: "densenet_40_12"}[table]


def test_dcms_protocols():
    wide = config_of(CONFIGS / "dcm.flags")
    assert (wide.method, wide.networks, wide.dataset) == ("dcm", ("wide_resnet_28_10_dcm",) * 2, "cifar100")
    protocol = wide.chosen_protocol()
    assert (protocol.epochs, protocol.batch_size, protocol.settings.milestones) == (200, 128, (59, 119, 159))
    settings = protocol.settings
    assert (settings.learning_rate, settings.factor, settings.weight_decay) == (0.1, 0.2, 5e-4)
    assert settings.restart_momentum and not settings.nesterov
    mobile = config_of(CONFIGS / "dcm_table2" / "dcm_mobilenet_v2_mobilenet_v2.flags").chosen_protocol()
    assert (mobile.epochs, mobile.batch_size, mobile.settings.schedule) == (150, 256, "cosine")
    assert (mobile.settings.learning_rate, mobile.settings.weight_decay) == (0.05, 4e-5)


def test_dcm_reads_imagenet_as_its_paper_says():
    paths = [path for path in RUNNABLE if path.parent.name == "dcm_table2"]
    assert len(paths) > 5 and {config_of(path).reading for path in paths} == {"resize_crop"}
