"""The page on each method says what its code says."""

import re

import pytest

from tfdistill.commands import command_line, explain, train
from tfdistill.engine.distiller import Distiller
from tfdistill.engine.updates import Phase, Round, Update
from tfdistill.methods import METHODS
from tfdistill.optimizers import PROTOCOLS, OptimizerSettings
from tfdistill.runs.hyperparameters import hyperparameters


class Page:
    """A page, and the distiller that it is about."""

    def __init__(self, *arguments: str) -> None:
        values = train.train_flags()
        command_line.parse(values, arguments)
        self.config = command_line.explained(values)
        self.distiller = explain.example(self.config)[0]
        self.text = explain.page(self.config)
        self.lines = [line.strip() for line in self.text.splitlines()]
        self.words = " ".join(self.text.split())


@pytest.fixture(scope="module", params=METHODS)
def page(request):
    return Page(f"--explain={request.param}")


def test_it_is_readable_at_120_columns(page):
    assert max(map(len, page.text.splitlines())) <= 120
    assert "\n\n\n" not in page.text


def test_it_has_the_docstring_the_paper_and_the_protocol(page):
    method = METHODS[page.config.method]
    assert page.text.startswith(f"{page.config.method}: {method.__doc__.splitlines()[0]}\n\nPaper\n")
    assert method.source in page.words
    protocol = PROTOCOLS[method.protocol]
    assert f"{method.protocol}: {protocol.epochs} epochs in batches of {protocol.batch_size}" in page.lines
    assert protocol.source in page.words
    assert method.protocol_note in page.words
    equation = next(line for line in method.__doc__.splitlines() if line.strip().startswith(("`L", "- `L")))
    assert equation.strip() in page.lines


def test_it_has_every_model_with_its_parameters(page):
    for model in (*page.distiller.networks, *page.distiller.helpers.values()):
        count = sum(variable.shape.num_elements() for variable in model.trainable_variables)
        assert re.search(rf"^  {model.name} +{count:,} parameters$", page.text, re.MULTILINE), model.name


def test_it_has_every_update_with_what_it_minimises_and_moves(page):
    for phase in page.distiller.plan:
        for update in phase.updates():
            assert update.name in page.lines
            block = page.words.partition(f" {update.name} minimises ")[2].partition(" with ")[0]
            terms, _, moved = block.partition(" moves ")
            assert all(f" · {term}" in terms for term in update.terms), update.name
            assert all(f"{model.name} (" in moved for model in update.models), update.name


def test_it_has_every_hyperparameter_with_its_help(page):
    for name, one in hyperparameters(page.config.method).items():
        assert any(line.startswith(f"--{page.config.method}.{name}=") for line in page.lines), name
        assert one.text in page.words


def test_it_has_the_flagfiles(page):
    method = page.config.method
    heading = f"Flagfiles of {method} (--flagfile=...), and rows of tables"
    assert heading in page.lines and f"{method}.flags" in page.text.partition(heading)[2]
    assert "configs/base/" not in page.lines


def test_what_is_said_is_what_is_shown(capsys):
    """Networks, hyper-parameters and the optimizer of the other flags."""
    arguments = ["--explain=dml", "--networks=resnet14,resnet8", "--dml.weight=2.5", "--epochs=100", "--method=dml"]
    assert train.main([*arguments, "--learning_rate=0.2"]) == 0
    text = capsys.readouterr().out
    assert "  resnet14  175,258 parameters\n  resnet8 " in text
    assert "1 · cross_entropy + 2.5 · mutual\n" in text and "--dml.weight=2.5  (default: 1)\n" in text
    assert "SGD, rate 0.2, Nesterov momentum 0.9, decay 0.0005, × 0.1 at epochs 30, 60, 90 [networks]\n" in text


def test_transfers_that_are_added_are_told_with_their_flags_terms_and_sources():
    given = Page("--explain=dml", "--also=kd,map_distance", "--networks=resnet8,resnet14", "--kd.temperature=2")
    assert "Added to it (--also), between all networks, each from every other" in given.lines
    assert "kd: The learner imitates the source's predictions, softened by a temperature." in given.lines
    assert "minimises  1 · cross_entropy + 1 · mutual + 4 · kd + 1 · map_distance" in given.lines
    assert "--kd.temperature=2  (default: 4)" in given.lines and "--map_distance.weight=1" in given.lines
    taught = Page("--explain=supervised", "--also=kd", "--teacher=somewhere", "--networks=resnet8")
    assert "Added to it (--also), from the teachers" in taught.lines
    assert "minimises  1 · cross_entropy + 16 · kd" in taught.lines


@pytest.mark.parametrize(
    ("flags", "prepared", "taught", "milestones"),
    [
        # 80 and 120 of 160 are 30 and 45 of the 60 epochs that are left.
        (["--epochs=90"], "constant rate", "× 0.1 at epochs 60, 75", [30, 45]),
        (["--epochs=90", "--milestones=20,80"], "constant rate", "× 0.1 at epochs 50 (beyond the end: 110)", [20, 80]),
        (["--epochs=40", "--milestones=20"], "constant rate", "× 0.1 never (beyond the end: 50)", [20]),
        (["--epochs=90", "--schedule=cosine"], "cosine rate", "cosine rate", None),
    ],
)
def test_rates_drop_in_what_a_preparation_leaves_to_the_training(flags, prepared, taught, milestones):
    """The page says the epochs of the run, and the optimizers have them."""
    more = ["--also=ft", "--teacher=somewhere", "--networks=resnet8", "--ft.preparation_epochs=30", *flags]
    page = Page("--explain=distillation", *more)
    blocks = page.words.split(" with SGD, rate 0.1, Nesterov momentum 0.9, decay 0.0005, ")[1:]
    assert [block.partition(" [networks]")[0] for block in blocks] == [prepared, taught]
    distiller, config = page.distiller, page.config
    distiller.compile(config.optimizers(distiller.recipe), xla="off")
    distiller.prepare(steps_per_epoch=2, epochs=config.planned_epochs)
    names = [update.name for phase in distiller.plan for update in phase.updates()]
    rate, schedule = (distiller.update_optimizers[name]._learning_rate for name in names)
    if milestones is None:
        assert [rate.decay_steps, schedule.decay_steps] == [2 * 30, 2 * 60]
    else:
        assert float(rate) == pytest.approx(0.1) and list(schedule.milestones) == [2 * one for one in milestones]


def test_each_link_of_a_chain_has_the_drops_of_what_its_preparation_leaves():
    links = "--links=kd,ft:preparation_epochs=20"
    page = Page("--explain=chain", links, "--teacher=somewhere", "--networks=resnet8,resnet14", "--epochs=100")
    told = re.findall(r"phase '([^']*)'|decay 0\.0005, ([^[]*) \[", page.words)
    assert [one or other for one, other in told] == [
        "resnet8 from teacher1",
        "× 0.1 at epochs 50, 75 of each link",
        "ft_preparation",
        "constant rate",
        "resnet14 from resnet8",
        "× 0.1 at epochs 60, 80 of each link",
    ]


class Relay(Distiller):
    """A teacher, then its student.

    `L = CE`.
    """

    protocol, source = "ie_cifar", "nobody"

    def phases(self):
        teacher, student = self.networks
        ramp = {"cross_entropy": 1.0, "hint": lambda epoch: epoch / 10, "trace": lambda epoch: epoch / 10}
        first, second = Update("teach", (teacher,), {"cross_entropy": 1.0}), Update("learn", (student,), ramp)
        return (
            Phase((Round(dict, (first,)),), epochs=30, name="teaching"),
            Phase((Round(dict, (second,)),), name="learning"),
        )


def test_phases_say_when_they_are_and_what_they_freeze_and_ramps_their_values(monkeypatch):
    monkeypatch.setitem(METHODS, "relay", Relay)
    lines = Page("--explain=relay").lines
    table = lines[lines.index("Updates, on every batch") : lines.index("Protocol")]
    assert "phase 'teaching', epochs 0 to 29" in table and "phase 'learning', epochs 30 to 159" in table
    assert table.index("frozen: resnet8_2") < table.index("phase 'learning', epochs 30 to 159")
    assert table.index("frozen: resnet8_1") > table.index("learn")
    assert "minimises  1 · cross_entropy + ramp · hint + ramp · trace" in table
    assert "ramp of    hint, trace: 0, 3.2, 6.4, 9.5, 12.7, 15.9 at epochs 0, 32, 64, 95, 127, 159" in table


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        (OptimizerSettings(), "SGD, rate 0.1, momentum 0.9, no decay, constant rate"),
        (
            OptimizerSettings(kind="adam", learning_rate=2e-5, weight_decay=0.1, epsilon=1e-7, decay_on="matrices"),
            "Adam, rate 2e-05, decay 0.1, constant rate, decay on matrices, epsilon 1e-07",
        ),
        (
            OptimizerSettings(schedule="cosine", warmup_epochs=5.0, nesterov=True),
            "SGD, rate 0.1, Nesterov momentum 0.9, no decay, cosine rate, warmup epochs 5",
        ),
    ],
)
def test_an_optimizer_in_one_line(settings, text):
    assert explain.describe(settings) == text


@pytest.mark.parametrize(
    ("argument", "words"),
    [
        ("--explain=dlm", ["explain", "'dlm'", "nearest: dml"]),
        ("--explain=", ["explain", "''"]),
        ("--explain=dml --networks=resnet8", ["networks", "two"]),
        ("--explain=dml --dml.temperature=-1", ["dml.temperature", "-1"]),
    ],
)
def test_what_cannot_be_explained_is_one_line(argument, words, capsys):
    with pytest.raises(SystemExit) as ended:
        train.main(argument.split())
    output, error = capsys.readouterr()
    assert ended.value.code == 2 and output == "" and error.count("\n") == 1
    assert error.startswith("train.py: error: ") and all(word in error for word in words), error
