"""Updates, rounds and phases as plain tables."""

import keras
import pytest
import tensorflow as tf

from tfdistill.engine.updates import Phase, Round, Update, alternating, joint, rounds_in_order


def dense(name):
    inputs = keras.Input((2,))
    return keras.Model(inputs, keras.layers.Dense(1, name=f"{name}_dense")(inputs), name=name)


def part(name, *models):
    return Update(name, models, {"term": 1.0}), lambda batch, taps: {"term": taps[name]}


def test_an_update_owns_each_trainable_variable_once():
    inputs = keras.Input((2,))
    shared = keras.layers.Dense(2)
    one = keras.Model(inputs, shared(inputs))
    two = keras.Model(inputs, keras.layers.BatchNormalization()(shared(inputs)))
    owned = Update("both", (one, two, one), {}).variables()
    assert [variable.name for variable in owned] == ["kernel", "bias", "gamma", "beta"]


def test_a_phase_moves_what_its_updates_own():
    first, second, whole = dense("first"), dense("second"), keras.Sequential([])
    phase = Phase(joint([part("a", first)]), epochs=2)
    assert phase.moves(first) and not phase.moves(second) and not phase.moves(whole)
    inputs = keras.Input((2,))
    around = keras.Model(inputs, first(inputs))
    assert phase.moves(around)


def test_a_phase_does_not_move_what_is_not_trainable():
    model = dense("frozen")
    model.trainable = False
    assert not Phase(joint([part("a", model)])).moves(model)


def test_joint_is_one_round_with_the_terms_of_every_update():
    parts = [part("a", dense("a")), part("b", dense("b"))]
    (only,) = joint(parts)
    assert [update.name for update in only.updates] == ["a", "b"]
    assert only.losses({}, {"a": 1, "b": 2}) == {"a": {"term": 1}, "b": {"term": 2}}


def test_alternating_is_a_round_per_update_in_order():
    parts = [part("a", dense("a")), part("b", dense("b"))]
    rounds = alternating(parts)
    assert [[update.name for update in one.updates] for one in rounds] == [["a"], ["b"]]
    assert [one.losses({}, {"a": 1, "b": 2}) for one in rounds] == [{"a": {"term": 1}}, {"b": {"term": 2}}]
    assert [update.name for update in Phase(rounds).updates()] == ["a", "b"]


@pytest.mark.parametrize(("order", "rounds"), [(joint, 1), (alternating, 2)])
def test_what_parts_share_is_computed_once_a_round_and_joins_the_taps(order, rounds):
    parts = [(part(name, dense(name))[0], lambda batch, taps, name=name: {name: taps["sum"]}) for name in ("a", "b")]
    called = []

    def shared(batch, taps):
        called.append(taps)
        return {"sum": taps["a"] + taps["b"]}

    terms = [one.losses({}, {"a": 1, "b": 2}) for one in order(parts, shared)]
    assert len(called) == rounds and all(taps == {"a": 1, "b": 2} for taps in called)
    assert {name: own for one in terms for name, own in one.items()} == {"a": {"a": 3}, "b": {"b": 3}}


def test_orders_by_name():
    parts = [part("a", dense("a")), part("b", dense("b"))]
    assert (len(rounds_in_order("joint", parts)), len(rounds_in_order("alternating", parts))) == (1, 2)
    with pytest.raises(ValueError, match=r"^update: 'jont' is none of alternating, joint; nearest: joint$"):
        rounds_in_order("jont", parts)


def test_tables_cannot_be_changed():
    one = Round(lambda batch, taps: {}, ())
    with pytest.raises(AttributeError):
        one.updates = (tf.constant(0),)
