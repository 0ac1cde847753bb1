"""Every flagfile and every row under configs/ is a run that the command accepts, and its file says how to start it."""

import itertools
import re
import tomllib
from pathlib import Path

import pytest

from tfdistill.commands import bundled, command_line
from tfdistill.commands.flagfiles import expand_flagfiles
from tfdistill.methods import METHODS
from tfdistill.networks import DETECTORS, NETWORKS
from tfdistill.runs.hyperparameters import hyperparameters
from tfdistill.tables import Figures

CONFIGS = Path(__file__).resolve().parents[2] / "configs"
FLAGFILES = sorted(path for path in CONFIGS.rglob("*.flags") if path.parent.name != "base")
TABLES = {table.name: table for table in bundled.tables()}


def checked(config):
    for name in (one.architecture for one in config.specifications):
        assert any(family.numbers(name) is not None for family in (*NETWORKS.values(), *DETECTORS.values())), name
    return config.chosen_protocol()


@pytest.mark.parametrize("path", FLAGFILES, ids=lambda path: str(path.relative_to(CONFIGS)))
def test_a_flagfile_is_a_run_and_its_head_says_how_to_start_it(path, config_of):
    assert checked(config_of(path))
    head = path.read_text().split("\n--")[0]
    assert f"launch/train.py --flagfile=configs/{path.relative_to(CONFIGS)}" in head


@pytest.mark.parametrize("table", TABLES.values(), ids=TABLES)
def test_every_row_that_can_be_run_is_a_run_and_the_tables_head_starts_one(table, config_of):
    runnable = [row.name for row in table.rows.values() if not row.needs]
    for row in runnable:
        assert checked(config_of(f"{table.path}:{row}")), row
    head = "\n".join(itertools.takewhile(lambda line: line.startswith("#"), table.path.read_text().splitlines()))
    started = re.findall(rf"launch/train\.py --flagfile=configs/{table.name}\.toml:(\S+)", head)
    assert set(started) <= set(runnable) and bool(started) == bool(runnable)


@pytest.mark.parametrize("table", TABLES.values(), ids=TABLES)
def test_a_paper_s_table_names_its_paper_and_every_row_has_a_title_and_figures(table):
    if not table.source:
        assert all(row.paper == Figures() for row in table.rows.values())
        return
    assert re.search(r"et al\.|and [A-Z]\w+, ", table.source) and re.search(r"\b20[12]\d\b", table.source)
    assert all(
        told.keys() & {"title", "same_as"} for told in tomllib.loads(table.path.read_text()).get("rows", {}).values()
    )
    teachers = {place for row in table.rows.values() for place in row.teachers}
    silent = [row.name for row in table.rows.values() if row.paper == Figures() and not row.note]
    # Pictures have no numbers, and what teaches a row may have none.
    if "Figure" not in table.source:
        assert [one for one in silent if table.rows[one].place not in teachers] == []


def test_a_row_that_needs_what_is_not_built_is_refused_in_one_line():
    place = CONFIGS / "afd_table7.toml:dml_resnet32_resnet32"
    with pytest.raises(ValueError) as caught:
        expand_flagfiles([f"--flagfile={place}"])
    assert str(caught.value).startswith(f"{CONFIGS}/afd_table7.toml: row dml_resnet32_resnet32: cannot be run yet")


@pytest.mark.parametrize("method", METHODS)
def test_every_method_has_a_flagfile_that_names_its_paper_and_what_to_expect(method, config_of):
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


def test_the_networks_of_table_4_of_ie_kd_are_the_authors_and_its_notes_count_them(config_of):
    table = TABLES["ie_kd_table4"]
    assert table.rows.keys() == {f"{method}_{pair}" for method in ("independent", "dml", "ie_dml") for pair in TABLE_4}
    for row in table.rows:
        networks = TABLE_4[row[row.index("resnet32_") :]]
        if row == "independent_resnet32_resnet32":
            networks = ("resnet32_b_ie_kd", "resnet32_b_ie_kd")
        assert config_of(f"{table.path}:{row}").networks == networks, row
    said = " ".join(table.notes)
    assert {int(one.replace(",", "")) for one in re.findall(r"\d[\d,]{5,}", said)} == set(PARAMETERS.values())
    assert "ResNet-32 has shortcut B (472,756 parameters)" in said and "but A (470,004)" in said
    page = (CONFIGS.parent / "docs" / "networks.md").read_text()
    for name, count in PARAMETERS.items():
        row = next(line for line in page.splitlines() if line.startswith(f"| `{name.removesuffix('_ie_kd')}` "))
        assert f"| {count:,} |" in row


def test_the_main_config_is_the_papers(config_of):
    config = config_of(CONFIGS / "ie_dml.flags")
    protocol = config.chosen_protocol()
    assert (config.method, config.dataset, config.networks) == ("ie_dml", "cifar100", TABLE_4["resnet32_resnet110"])
    assert (protocol.epochs, protocol.batch_size) == (160, 128)
    assert protocol.settings.milestones == (80, 120)
    assert (protocol.settings.learning_rate, protocol.settings.weight_decay) == (0.1, 5e-4)
    assert protocol.settings.nesterov
    assert config.to_dict()["hyperparameters"]["inheritance_weight"] == 50


def test_the_small_configs_differ_in_nothing_but_the_method(config_of):
    files = sorted((CONFIGS / "small").iterdir())
    small = [config_of(path).to_dict() for path in files]
    assert [f"{one['method']}_resnet20.flags" for one in small] == [path.name for path in files]
    plain = [{name: one[name] for name in one if name not in ("method", "run", "hyperparameters")} for one in small]
    assert all(one == plain[0] for one in plain)
    assert all(one["hyperparameters"] == defaults_of(one["method"]) for one in small)


def defaults_of(method):
    """The hyper-parameters that a method has when nobody says any."""
    return {name: one.default for name, one in hyperparameters(method).items()}


def test_runs_of_one_name_are_one_run():
    """As the flagfiles' heads start them: else the second would be refused, or taken for the first."""
    seen = {}
    for path in FLAGFILES:
        command = re.search(r"launch/train\.py (.*)", path.read_text().replace("\\\n#", " ")).group(1)
        arguments = command.replace("configs/", f"{CONFIGS}/").split()
        values = command_line.run_flags()
        command_line.parse(values, arguments)
        config = command_line.run_config(values).to_dict()
        assert seen.setdefault(config["run"], config) == config, path


def test_rows_of_one_place_are_one_run(config_of):
    seen = {}
    for table in TABLES.values():
        for row in table.rows.values():
            if not row.needs:
                config = config_of(f"{table.path}:{row.name}")
                assert seen.setdefault(row.place, config) == config, row


# Weights as the heads give them: labels' weight, transfer, and its hyper-parameters that are not the defaults.
TRANSFERS_OF_CONFIGS = {
    "kd": (0.05, "kd", {"temperature": 20.0, "weight": 0.95}),
    "tf_kd": (0.05, "kd", {"temperature": 20.0, "weight": 0.95}),
    "tf_kd_reg": (0.9, "virtual_teacher", {}),
    "mse": (0.0, "mse", {}),
    "dkd": (1.0, "dkd", {"beta": 2.0}),
    "dist": (1.0, "dist", {}),
    "ab": (0.0, "ab", {}),
    "review_kd": (1.0, "review_kd", {"weight": 0.6}),
    "ft": (1.0, "ft", {"coders": "normalized", "preparation_epochs": 30}),
    "pkd": (1.0, "pkd", {"weight": 10.0}),
    "ssd_ie_od": (1.0, "ie_od", {"inheritance_weight": 100.0, "exploration_weight": 100.0}),
    **{name: (1.0, name, {}) for name in ("ie_ft", "ie_at", "ie_od", "jacobian", "cwd")},
    **{name: (1.0, name, {}) for name in ("fitnet", "at", "nst", "vid", "od", "sp", "cc", "rkd", "pkt", "crd")},
}


@pytest.mark.parametrize("name", TRANSFERS_OF_CONFIGS)
def test_the_flagfile_of_a_transfer_has_its_papers_weights(name, config_of):
    config = config_of(CONFIGS / f"{name}.flags")
    label_weight, transfer, said = TRANSFERS_OF_CONFIGS[name]
    assert config.also == (transfer,) and config.arguments(transfer) == said
    assert config.arguments().get("label_weight", 1.0) == label_weight
