"""What the runs of a table gave together: means over seeds, and the gain over the baseline with its interval."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from tfdistill.bounds import shown
from tfdistill.tables.comparing import ensemble_gain, gain, step_ratio, step_seconds
from tfdistill.tables.outcome import Outcome, Scores
from tfdistill.tables.paired import Gain
from tfdistill.tables.parts import PartSummary, parts_of
from tfdistill.tables.table import Metric, Row, Table


@dataclass(frozen=True)
class RowSummary:
    """A row of the table: what its finished runs gave, and what the others lack.

    Attributes:
        row: with the paper's figures.
        asked: how many seeds were asked for; 0 of a row that nobody asked for, or that is not built.
        seeds: of the finished runs, ascending.
        networks: in the runs' order; empty where no run is finished.
        mean: of the networks; None where no run is finished. A row of one network has that network's.
        ensemble: None where there is none, which is so of one network.
        gain: of the mean of the networks over the baseline's, in percentage points, positive where the row is better;
            None of the baseline itself, of a row without one, and where fewer than two seeds are common.
        ensemble_gain: likewise, over the ensemble of the row that is the baseline; None where that has no ensemble.
        step_seconds: the median of a training step, over the seeds.
        step_ratio: that by the baseline's; by the sum of them where the row has one for each network.
        one_kind: whether its networks are of one architecture; True where no run says.
        states: how many runs are missing, failed and refused.
        problems: one line each for the failed and refused: row, seed and why.
    """

    row: Row
    asked: int = 0
    seeds: tuple[int, ...] = ()
    networks: tuple[PartSummary, ...] = ()
    mean: PartSummary | None = None
    ensemble: PartSummary | None = None
    gain: Gain | None = None
    ensemble_gain: Gain | None = None
    step_seconds: float | None = None
    step_ratio: float | None = None
    one_kind: bool = True
    states: Mapping[str, int] = field(default_factory=dict)
    problems: tuple[str, ...] = ()

    @property
    def n(self) -> int:
        """How many runs are finished."""
        return len(self.seeds)

    @property
    def is_baseline(self) -> bool:
        """Whether the row names itself as what it is compared with."""
        return self.row.name in self.row.baseline


@dataclass(frozen=True)
class Summary:
    """A table with what its runs gave.

    Attributes:
        table: with the paper's figures.
        rows: by name, in the table's order.
        head: lines that a reader must see first, such as that the budget is not the paper's.
        seeds: that any row was asked for, ascending.
        scored_on: "test" or "validation" data; both, where runs differ.
        epochs: how many the finished runs have trained; several, where they differ.
    """

    table: Table
    rows: Mapping[str, RowSummary]
    head: tuple[str, ...] = ()
    seeds: tuple[int, ...] = ()
    scored_on: tuple[str, ...] = ()
    epochs: tuple[float, ...] = ()


def summarize(table: Table, outcomes: Iterable[Outcome], head: Sequence[str] = ()) -> Summary:
    """The summary of a table's runs.

    Args:
        table: with its rows.
        outcomes: one for each row and seed that was asked for.
        head: lines that a reader must see first.

    Raises:
        ValueError: an outcome is of no row of the table, a row has two of one seed, or finished runs of a row have
            different flags, networks or numbers of epochs; in one line.
    """
    by_row = _by_row(table, outcomes)
    rows = {
        name: _row_summary(row, by_row[name], [by_row[one] for one in row.baseline], table.metric)
        for name, row in table.rows.items()
    }
    finished = [scores for runs in by_row.values() for scores in _finished(runs).values()]
    return Summary(
        table=table,
        rows=rows,
        head=tuple(head),
        seeds=tuple(sorted({seed for runs in by_row.values() for seed in runs})),
        scored_on=tuple(sorted({scores.scored_on for scores in finished})),
        epochs=tuple(sorted({scores.epochs for scores in finished})),
    )


def require_baselines(row: Row, networks: int, where: str) -> None:
    """Refuses a row of so many networks whose baselines are neither one row nor one for each network.

    Raises:
        ValueError: in one line, which begins with `where`.
    """
    if len(row.baseline) not in (0, 1, networks):
        raise ValueError(
            f"{where}: baseline: must be one row, or one for each of {networks} networks, not {len(row.baseline)}"
        )


def _by_row(table: Table, outcomes: Iterable[Outcome]) -> dict[str, dict[int, Outcome]]:
    found: dict[str, dict[int, Outcome]] = {name: {} for name in table.rows}
    for one in outcomes:
        if one.row not in found:
            raise ValueError(f"{table.path}: has no row {one.row}, of which there is a run with seed {one.seed}")
        if one.seed in found[one.row]:
            raise ValueError(f"{table.path}: row {one.row}: there are two runs with seed {one.seed}")
        found[one.row][one.seed] = one
    for name, runs in found.items():
        finished = [one for one in runs.values() if one.state == "finished"]
        row, where = table.rows[name], f"{table.path}: row {name}"
        # Where rows teach it, every seed has a teacher of its own.
        _check_alike(where, finished, but={"teacher"} if row.teachers else set())
        for scores in _finished(runs).values():
            require_baselines(row, len(scores.networks), where)
    return found


def _check_alike(where: str, runs: Sequence[Outcome], but: Collection[str]) -> None:
    """Refuses to average what differs in more than the seed, and in the flags `but`."""
    for one in runs[1:]:
        first = runs[0]
        assert one.scores and first.scores, "a finished run has them"
        flags, others = first.settings, one.settings
        facts = [
            *((f"--{name}", flags.get(name), others.get(name)) for name in sorted({*flags, *others} - {*but})),
            ("networks", first.scores.networks, one.scores.networks),
            ("epochs", first.scores.epochs, one.scores.epochs),
            ("scored on", first.scores.scored_on, one.scores.scored_on),
        ]
        for name, its, other in facts:
            if its != other:
                raise ValueError(
                    f"{where}: seeds {first.seed} and {one.seed} differ in more than the seed: "
                    f"{name} is {shown(its)} and {shown(other)}"
                )


def _finished(runs: Mapping[int, Outcome]) -> dict[int, Scores]:
    finished = {seed: one.scores for seed, one in sorted(runs.items()) if one.state == "finished"}
    return {seed: scores for seed, scores in finished.items() if scores}


def _row_summary(
    row: Row, runs: Mapping[int, Outcome], baselines: Sequence[Mapping[int, Outcome]], metric: Metric
) -> RowSummary:
    scores = _finished(runs)
    others = [_finished(one) for one in baselines]
    itself = row.name in row.baseline
    return RowSummary(
        row=row,
        asked=len(runs),
        seeds=tuple(scores),
        **parts_of(scores, metric),
        gain=None if itself else gain(scores, others, metric),
        ensemble_gain=None if itself else ensemble_gain(scores, others, metric),
        step_seconds=step_seconds(scores),
        step_ratio=step_ratio(scores, others),
        one_kind=all(len(set(one.flags.get("networks", ()))) <= 1 for one in runs.values()),
        states=Counter(one.state for one in runs.values()),
        problems=tuple(
            f"{row.title}, seed {seed}: {one.state}: {' '.join(one.problem.split())}"
            for seed, one in sorted(runs.items())
            if one.state in ("failed", "refused")
        ),
    )
