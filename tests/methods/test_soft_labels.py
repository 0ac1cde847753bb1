"""Mixed and smoothed labels reach every method's cross-entropy; its other terms see the mixed image."""

import numpy as np
import pytest

from tfdistill.methods import DML, IEDML

CLASSES = 3
TERMS = {DML: {"mutual"}, IEDML: {"reconstruction", "inheritance", "exploration"}}


def soft_batch(tiny):
    hard = tiny.batch()
    labels = np.random.default_rng(1).dirichlet(np.full(CLASSES, 0.5), len(hard["labels"])).astype("float32")
    return {"images": hard["images"], "labels": labels}


@pytest.mark.parametrize("method", TERMS)
def test_one_step(tiny, method):
    batch = soft_batch(tiny)
    networks = [tiny.network(name, seed=seed) for seed, name in enumerate(("first", "second"))]
    logits = {one.name: tiny.run_network(tiny.weights_of(one), batch["images"], 4)[1] for one in networks}
    before = {one.name: [value.numpy() for value in one.trainable_variables] for one in networks}
    logs = tiny.train(method(networks), 1, batch)
    for network in networks:
        log_p = tiny.log_softmax(logits[network.name]).numpy()
        expected = -(batch["labels"] * log_p).sum(1).mean()
        assert logs[f"{network.name}/cross_entropy"] == pytest.approx(expected, abs=1e-4)
        right = (batch["labels"].argmax(1) == log_p.argmax(1)).mean()
        assert logs[f"{network.name}/accuracy"] == pytest.approx(right)
        assert all(np.isfinite(logs[f"{network.name}/{term}"]) for term in TERMS[method])
        after = network.trainable_variables
        assert all((one != other.numpy()).any() for one, other in zip(before[network.name], after, strict=True))
