"""What every transfer must keep, from a teacher and between peers: an entry of TRANSFERS gets it for its line there.

Learner and source differ in channels, so that what a transfer builds for such a pair is there. One traced graph serves
all tests of a case. What holds for methods (the export itself, XLA and replicas with what a transfer builds) is held
for `distillation` and `mutual` in `test_every_method.py`. XLA and replicas are held here for everything that compares
logits, in one graph.
"""

import contextlib

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfdistill.engine.teachers import fingerprint
from tfdistill.engine.term_checks import check_terms
from tfdistill.engine.updates import PreparationPhase
from tfdistill.methods import METHODS, Chain, Distillation, Mutual, add_transfers
from tfdistill.networks.answers import mean_of_logits
from tfdistill.networks.own_images import reading_own_images
from tfdistill.optimizers import OptimizerSettings
from tfdistill.runs import checkpoints
from tfdistill.runs.hyperparameters import may_take_teachers
from tfdistill.runs.teachers import teacher
from tfdistill.taps import without_labels
from tfdistill.transfers import KD, TRANSFERS, KDLimit, LogitTransfer

STEPS, BATCH, CLASSES = 4, 8, 4
# Without decay nothing but a gradient moves a weight.
SETTINGS = OptimizerSettings(learning_rate=0.05, nesterov=True)
# What a transfer cannot do without.
ARGUMENTS: dict[str, dict] = {"crd": {"examples": np.arange(STEPS * BATCH) % CLASSES, "negatives": 5}}
# Another kind of a transfer that has phases of its own, by a name for it.
KINDS: dict[str, tuple[str, dict]] = {"fitnet_in_two_stages": ("fitnet", {"preparation_epochs": 1})}


def examples():
    draw = np.random.default_rng(5)
    images = draw.standard_normal((STEPS, BATCH, 8, 8, 3)).astype("float32")
    labels = draw.integers(0, CLASSES, (STEPS, BATCH)).astype("int32")
    return {"images": images, "labels": labels, "index": np.arange(STEPS * BATCH).reshape(STEPS, BATCH)}


def twins(one):
    """Batches whose second half repeats the first, so that what halves have in the mean the whole has too."""
    return np.concatenate([one[:, : BATCH // 2]] * 2, axis=1)


class Case:
    """A distiller of one transfer with its first state kept; `phase` is one of its phases, trained for an epoch."""

    def __init__(self, transfer, role, tiny_network):
        one = tiny_network("one", seed=1, channels=8, preactivations=True)
        other = tiny_network("other", seed=20, channels=6, preactivations=True)
        name, arguments = KINDS.get(transfer, (transfer, ARGUMENTS.get(transfer, {})))
        made = TRANSFERS[name](**arguments)
        self.teachers = [other] if role == "teacher" else []
        self.distiller = Distillation(one, other, [made]) if self.teachers else Mutual([one, other], [made])
        self.distiller.compile(dict.fromkeys(self.distiller.recipe(), SETTINGS), xla="off")
        self.phases = range(len(self.distiller.plan))
        self.distiller.prepare(steps_per_epoch=STEPS, epochs=self.begins(len(self.phases) - 1) + 1)
        self.first = self.snapshot()

    def begins(self, phase):
        return sum(one.epochs for one in self.distiller.plan[:phase])

    def snapshot(self):
        return {name: np.array(one.numpy()) for name, one in self.distiller.state().items()}

    def restore(self, arrays):
        checkpoints.assign(self.distiller.state(), arrays)

    def train(self, phase, steps=slice(None)):
        data = tf.data.Dataset.from_tensor_slices({name: one[steps] for name, one in examples().items()})
        epoch = self.begins(phase)
        history = self.distiller.fit(data, initial_epoch=epoch, epochs=epoch + 1, verbose=0, shuffle=False).history
        return {name: values[0] for name, values in history.items()}


@pytest.fixture(
    scope="module",
    params=[(name, role) for name in (*TRANSFERS, *KINDS) for role in ("teacher", "peers")],
    ids="-".join,
)
def case(request, tiny_network):
    one = Case(*request.param, tiny_network)
    before = [fingerprint(model) for model in one.teachers]
    yield one
    assert before == [fingerprint(model) for model in one.teachers], "something has moved a teacher"


def arrays_of(models):
    return {id(one): np.array(one.numpy()) for model in models for one in model.variables}


def without_metrics(state):
    return {name: value for name, value in state.items() if not name.startswith("metrics/")}


def test_its_state_can_lie_in_the_memory_of_a_gpu(case):
    # TensorFlow keeps int32 variables of a GPU in the host's memory, where a step under XLA cannot read them.
    assert [name for name, one in case.distiller.state().items() if one.dtype == "int32"] == []


def test_one_step_moves_what_its_updates_own_and_no_bit_of_a_teacher(case):
    case.restore(case.first)
    distiller = case.distiller
    models = [*distiller.networks, *distiller.helpers.values()]
    for phase in case.phases:
        owned = {id(one) for update in distiller.plan[phase].updates() for one in update.variables()}
        before, taught = arrays_of(models), arrays_of(case.teachers)
        case.train(phase, slice(1))
        for model in models:
            for one in model.trainable_variables:
                moved = not np.array_equal(before[id(one)], one.numpy())
                assert moved == (id(one) in owned), f"{distiller.plan[phase].name}: {model.name}/{one.path}"
        for layer in (layer for network in distiller.networks for layer in network.layers):
            if not any(id(one) in owned for one in layer.trainable_variables):
                kept = [np.array_equal(before[id(one)], one.numpy()) for one in layer.variables]
                assert all(kept), f"{distiller.plan[phase].name}: statistics of {layer.name}"
        after = arrays_of(case.teachers)
        assert all(np.array_equal(value, after[key]) for key, value in taught.items())


def test_what_it_builds_moves_in_some_phase(case):
    for name, helper in case.distiller.helpers.items():
        if helper.trainable_variables:
            assert any(phase.moves(helper) for phase in case.distiller.plan), name


def test_no_term_is_missing_or_zero(case):
    case.restore(case.first)
    for phase in case.phases:
        logs = case.train(phase)
        for update in case.distiller.plan[phase].updates():
            for term in update.terms:
                value = logs[f"{update.name}/{term}"]
                assert np.isfinite(value) and value != 0, f"{update.name}/{term} is {value}"


def test_training_two_and_two_steps_is_training_four_bit_for_bit(case):
    """In every phase, from where the one before has ended."""
    start = case.first
    for phase in case.phases:
        case.restore(start)
        case.train(phase)
        whole = case.snapshot()
        case.restore(start)
        case.train(phase, slice(2))
        half = case.snapshot()
        case.restore({name: value + np.ones_like(value) for name, value in half.items()})
        case.restore(half)
        case.train(phase, slice(2, None))
        resumed = case.snapshot()
        assert without_metrics(whole).keys() == without_metrics(resumed).keys()
        assert all(np.array_equal(value, resumed[name]) for name, value in without_metrics(whole).items())
        start = whole


def test_what_is_delivered_is_a_bare_network(case, tiny_network):
    delivered = case.distiller.deliverables()
    assert list(delivered) == [network.name for network in case.distiller.networks]
    helpers = {id(one) for helper in case.distiller.helpers.values() for one in helper.variables}
    for name, network in delivered.items():
        bare = tiny_network("bare", seed=0, channels={"one": 8, "other": 6}[name])
        assert [one.shape for one in network.variables] == [one.shape for one in bare.variables]
        assert not helpers & {id(one) for one in network.variables}


@pytest.mark.parametrize("method", METHODS)
def test_transfers_can_be_added_to_every_method_and_do_something_there(method, tiny_network):
    peers = [tiny_network(f"peer{number}", seed=11 * number, preactivations=True) for number in range(2)]
    arguments = {"heads": "C2", "head_kind": "pooled"} if method == "dcm" else {}
    if may_take_teachers(method):
        arguments["teachers"] = tiny_network("teacher", seed=99, preactivations=True)
    if method == "kdcl":
        arguments["target"] = "mean"  # the only one that learns without labels too
    distiller = METHODS[method](peers, **arguments)
    before = {update.name: list(update.terms) for phase in distiller.plan for update in phase.updates()}
    added = [TRANSFERS[name](name=f"added_{name}", **ARGUMENTS.get(name, {})) for name in TRANSFERS]
    add_transfers(distiller, added)
    check_terms(distiller, [{name: one[step] for name, one in examples().items()} for step in range(3)])
    updates = [update for phase in distiller.plan for update in phase.updates() if update.name in before]
    taught = [update for update in updates if list(update.terms) != before[update.name]]
    assert {id(one) for update in taught for one in update.variables()} >= {
        id(one) for peer in distiller.networks for one in peer.trainable_variables
    }
    for update in taught:
        own, taken = before[update.name], list(update.terms)
        assert taken[: len(own)] == own
        # Several terms of one transfer begin with its name.
        assert list(dict.fromkeys(owner(term) for term in taken[len(own) :])) == [one.name for one in added]
    assert_missing_labels_unseen(distiller)


def everything():
    """Every transfer, and the kinds that have phases of their own, all in one method as by `--also`."""
    kinds = {**{name: (name, ARGUMENTS.get(name, {})) for name in TRANSFERS}, **KINDS}
    return [TRANSFERS[name](name=f"added_{kind}", **arguments) for kind, (name, arguments) in kinds.items()]


def three(tiny_network):
    channels = (4, 5, 6)
    return [tiny_network(f"n{k}", seed=11 * k, channels=channels[k], preactivations=True) for k in range(3)]


MEETINGS = {
    "three peers": lambda one, two, three: Mutual([one, two, three], everything()),
    "two teachers": lambda one, two, three: Distillation(one, [two, three], everything()),
    "a chain of three": lambda one, two, three: Chain([one, two, three], links=[everything()]),
}


@pytest.mark.parametrize("meeting", MEETINGS)
def test_all_together_do_something_between_three_peers_from_two_teachers_and_along_a_chain(meeting, tiny_network):
    distiller = MEETINGS[meeting](*three(tiny_network))
    check_terms(distiller, [{name: one[step] for name, one in examples().items()} for step in range(3)])
    taught = [
        update for phase in distiller.plan if not isinstance(phase, PreparationPhase) for update in phase.updates()
    ]
    learners = {"three peers": ["n0", "n1", "n2"], "two teachers": ["n0"], "a chain of three": ["n0", "n1", "n2"]}
    assert [update.name for update in taught] == learners[meeting]
    for update in taught[1:] if meeting == "a chain of three" else taught:
        # One that was prepared may have nothing to say later.
        owners = {owner(term) for term in update.terms if term != "cross_entropy"}
        assert owners == {f"added_{name}" for name in TRANSFERS}, update.name
    prepared = [phase.name for phase in distiller.plan if isinstance(phase, PreparationPhase)]
    once = [f"added_{name}_preparation" for name in ("ft", "ab", "ie_ft", "ie_at", "ie_od", "fitnet_in_two_stages")]
    assert prepared == once * (2 if meeting == "a chain of three" else 1)


def losses_from_here(this_round, batch, taps):
    """The terms of a round, and nothing that they note for the next batch."""
    with keras.StatelessScope():
        return this_round.losses(without_labels(batch), taps)


def owner(term):
    """The transfer that `added_NAME` or `added_NAME_PART` is a term of."""
    return next(
        f"added_{name}" for name in sorted(TRANSFERS, key=len, reverse=True) if term.startswith(f"added_{name}")
    )


def assert_missing_labels_unseen(distiller):
    """What stands in the place of missing labels changes no term, and terms of labels are 0 there."""
    given = {name: one[0] for name, one in examples().items()}
    marks = (np.arange(BATCH) % 2).astype("float32")
    junk = [distiller.batch_of({**given, "labels": given["labels"] - 7 * (marks == 0), "labelled": marks})]
    junk.append(distiller.batch_of({**given, "labelled": marks}))
    taps = distiller.call_all(junk[0], distiller.call_model)
    for one in distiller.plan[-1].rounds:
        first, second = (losses_from_here(one, batch, taps) for batch in junk)
        for update, terms in first.items():
            for name, values in terms.items():
                np.testing.assert_array_equal(values, second[update][name], err_msg=f"{update}/{name}")
                of_labels = name.endswith(
                    (distiller.task.loss_name, "dkd", "virtual_teacher", "crd", "deep_supervision")
                )
                assert of_labels == (not np.any(values.numpy()[marks == 0])), f"{update}/{name}"


def test_its_paper_is_stated_and_its_name_is_its_own(case):
    for name, transfer in TRANSFERS.items():
        assert transfer.paper and transfer.__doc__
        assert transfer(**ARGUMENTS.get(name, {})).name == name


class TaughtByAll:
    """One student of everything that compares logits, or reads none but the learner's; an ensemble teaches it.

    Of the ensemble one has images of its own size, and comes from a file.
    """

    def __init__(self, path, tiny_network, xla, scope=None):
        on_logits = [made for made in TRANSFERS.values() if issubclass(made, LogitTransfer) or not made.needs_source]
        given = [made(weight=0.1) for made in on_logits]
        given += [KDLimit(temperature="zero", weight=0.1, name="cold"), KD(standardized=True, weight=0.1, name="unit")]
        with scope or contextlib.nullcontext():
            self.student = tiny_network("student", seed=1)
            members = [tiny_network("near", seed=20), reading_own_images(teacher(path), (8, 8, 3), (0.5,), (0.1,))]
            self.teacher = mean_of_logits(members, (8, 8, 3))
            self.distiller = Distillation(self.student, self.teacher, given)
            self.distiller.compile({"networks": SETTINGS}, xla=xla)
            self.distiller.prepare(steps_per_epoch=STEPS, epochs=1)
        self.first = {name: np.array(one.numpy()) for name, one in self.distiller.state().items()}

    def train(self, data):
        checkpoints.assign(self.distiller.state(), self.first)
        given = tf.data.Dataset.from_tensor_slices(data)
        history = self.distiller.fit(given, steps_per_epoch=len(data["labels"]), verbose=0, shuffle=False).history
        return {name: values[0] for name, values in history.items()}


def test_two_replicas_with_xla_give_what_one_gives_without_for_every_loss_on_logits(
    tmp_path, tiny_network, two_replicas
):
    path = tmp_path / "far.keras"
    far = tiny_network("far", seed=30, channels=6, size=16)
    far.save(path)
    one = TaughtByAll(path, tiny_network, "off")
    two = TaughtByAll(path, tiny_network, "on", two_replicas.scope())
    before = fingerprint(one.teacher)
    assert before == fingerprint(two.teacher)
    data = {name: twins(value) for name, value in examples().items()}
    logs, logs_of_two = one.train(data), two.train(data)
    assert {f"student/{name}" for name in ("kd", "dkd", "dist", "virtual_teacher", "cold", "unit")} <= logs.keys()
    assert logs.keys() == logs_of_two.keys()
    for name, value in logs.items():
        np.testing.assert_allclose(logs_of_two[name], value, rtol=1e-4, err_msg=name)
    for mine, other in zip(one.student.weights, two.student.weights, strict=True):
        # A replica's unbiased variance is of half as many values.
        if "moving_variance" not in mine.path:
            np.testing.assert_allclose(other.numpy(), mine.numpy(), rtol=1e-4, atol=1e-4, err_msg=mine.path)
    assert before == fingerprint(one.teacher) == fingerprint(two.teacher)
    # Halves that differ: every replica correlates its own.
    first = {name: value[:1] for name, value in examples().items()}
    found = two.train(first)["student/dist"]
    checkpoints.assign(one.distiller.state(), one.first)
    halves = []
    for half in np.split(first["images"][0], 2):
        own, source = one.student(half, training=True)["logits"], one.teacher(half, training=False)["logits"]
        halves.append(np.mean(TRANSFERS["dist"]().loss({}, source, own)))
    np.testing.assert_allclose(found, np.mean(halves), rtol=1e-4)
