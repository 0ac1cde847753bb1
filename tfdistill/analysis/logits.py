"""Logits as they are: their sums, the distance to the teacher's, the norm behind them, the lead of the true class."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from tfdistill.analysis.analysis import Analysis, Findings
from tfdistill.analysis.study import Study
from tfdistill.columns import aligned

if TYPE_CHECKING:
    from matplotlib.figure import Figure

EMBEDDING = "embedding"
SUM, ABSOLUTE, DISTANCE, NORM, LEAD = "sum", "absolute_sum", "distance", "norm", "lead"

QUANTILES = ("0.05", "0.25", "0.5", "0.75", "0.95")


def top_logit_distance(logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """The lead of the true class, `z_y - max_(j≠y) z_j`, [N]; below 0 where another class is ahead.

    Args:
        logits: [N, K], two classes or more.
        labels: the true classes, integers [N].

    Source: Kim et al., "Comparing Kullback-Leibler Divergence and Mean Squared Error Loss in Knowledge Distillation",
    IJCAI 2021.
    """
    rows = np.arange(len(labels))
    others = logits.copy()
    others[rows, labels] = -np.inf
    return logits[rows, labels] - others.max(axis=1)


def density(values: np.ndarray, limits: tuple[float, float], bins: int = 300) -> np.ndarray:
    """How densely values lie, [bins], over equal bins of `limits`; its integral is 1.

    Args:
        values: [N], all within the limits.
        limits: the ends of the first and the last bin.
        bins: how many.
    """
    return np.histogram(values, bins, limits, density=True)[0]


class Logits(Analysis):
    """Sums of logits, distances to the teacher's logits, norms of the penultimate layer, and the true class's lead."""

    title = "Logits"
    paper = "Kim et al., Comparing Kullback-Leibler Divergence and Mean Squared Error Loss (IJCAI 2021), Figs. 2, 4"

    def check(self, study: Study) -> None:
        study.require_classes(2, "the analysis of logits")
        study.require_examples(2, "a density")

    def find(self, study: Study) -> Findings:
        split = study.chosen()
        with_norm = [one.label for one in study.subjects if EMBEDDING in one.network.output]
        if missing := [one for one in study.labels if one not in with_norm]:
            study.note(f"{', '.join(missing)} without the tap {EMBEDDING}: no norm is drawn.")
        if not study.teacher:
            study.note("Without --teacher there are no distances to its logits.")
        taps = {one: ("logits", EMBEDDING) if one in with_norm else ("logits",) for one in study.labels}
        parts: dict[str, dict[str, list[np.ndarray]]] = {}
        for answers in study.answers(split, taps, "logits"):
            for label, own in answers.taps.items():
                teacher = answers.taps[study.teacher] if study.teacher not in ("", label) else None
                for name, values in _values(own, answers.labels, teacher).items():
                    parts.setdefault(name, {}).setdefault(label, []).append(values)
        # A number an example and quantity is all that is kept.
        found = {
            name: {label: np.concatenate(one).astype(np.float64) for label, one in by.items()}
            for name, by in parts.items()
        }
        densities = {name: _densities(by, study.options.density_bins) for name, by in found.items()}
        numbers = {"examples": len(split), "quantities": _summaries(found), "densities": densities}
        return Findings(numbers, _rows(densities), lambda: _draw(densities, len(split)), _lines(found))


def _values(
    own: Mapping[str, np.ndarray], labels: np.ndarray, teacher: Mapping[str, np.ndarray] | None
) -> dict[str, np.ndarray]:
    logits = own["logits"]
    sums = logits.sum(axis=1, dtype=np.float64)
    found = {SUM: sums, ABSOLUTE: np.abs(sums), LEAD: top_logit_distance(logits, labels)}
    if teacher is not None:
        found[DISTANCE] = np.linalg.norm(logits - teacher["logits"], axis=1)
    if EMBEDDING in own:
        found[NORM] = np.linalg.norm(own[EMBEDDING].reshape(len(labels), -1), axis=1)
    return found


def _densities(by: Mapping[str, np.ndarray], bins: int) -> dict[str, Any]:
    """The densities of all networks over the same bins."""
    low, high = (float(pick([pick(one) for one in by.values()])) for pick in (min, max))
    # A quantity that does not vary would have bins of no width.
    limits = (low, high) if high > low else (low - 0.5, high + 0.5)
    edges = np.linspace(*limits, bins + 1)
    return {"edges": edges, "networks": {label: density(values, limits, bins) for label, values in by.items()}}


def _summaries(found: Mapping[str, Mapping[str, np.ndarray]]) -> dict[str, Any]:
    return {
        name: {
            label: {
                "mean": values.mean(),
                "deviation": values.std(),
                "quantiles": {share: np.quantile(values, float(share)) for share in QUANTILES},
            }
            for label, values in by.items()
        }
        for name, by in found.items()
    }


def _rows(densities: Mapping[str, Mapping[str, Any]]) -> list[dict[str, Any]]:
    return [
        {"quantity": name, "network": label, "from": low, "to": high, "density": value}
        for name, by in densities.items()
        for label, values in by["networks"].items()
        for low, high, value in zip(by["edges"][:-1], by["edges"][1:], values, strict=True)
    ]


def _lines(found: Mapping[str, Mapping[str, np.ndarray]]) -> list[str]:
    titles = {SUM: "sum", ABSOLUTE: "|sum|", DISTANCE: "‖z − z_t‖", NORM: "‖r‖", LEAD: "lead of the true class"}
    names = [name for name in titles if name in found]
    rows = [["network", *(titles[name] for name in names)]]
    for label in found[SUM]:
        told = [found[name].get(label) for name in names]
        rows.append([label, *("" if one is None else f"{one.mean():.3f} ± {one.std():.3f}" for one in told)])
    return aligned(rows, right=range(1, len(names) + 1))


def _draw(densities: Mapping[str, Mapping[str, Any]], examples: int) -> dict[str, Figure]:
    from tfdistill.analysis.pictures.densities import densities_of

    return {"": densities_of(densities, examples)}
