"""The command `table` once its flags are good: a plan, its training, and what is printed and written."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tfdistill.bounds import shown
from tfdistill.commands import command_line
from tfdistill.commands.flag_kinds import Flags
from tfdistill.commands.tabling import children, given, report
from tfdistill.commands.tabling.campaign import Campaign
from tfdistill.commands.tabling.overrides import overrides_of
from tfdistill.commands.tabling.plan import Plan, Planned, outcomes_of
from tfdistill.commands.tabling.planner import Planner
from tfdistill.commands.tabling.progress import Progress
from tfdistill.commands.tabling.recorded import recorded, to_train
from tfdistill.runs.interruption import Signals
from tfdistill.runs.outcomes import outcome_of
from tfdistill.standalone.calling import program
from tfdistill.tables import Outcome

COMMAND = "table"


def plan(names: Sequence[str], values: Flags) -> Plan:
    """What is to be trained and shown; all that can be wrong about it is found here.

    Raises:
        ValueError: in one line.
    """
    told: dict[str, Any] = {name: values[name].value for name in values.descriptions}
    seeds = told["seeds"]
    if seeds is not None and (not seeds or len(set(seeds)) < len(seeds)):
        raise ValueError(f"seeds: must be different whole numbers, not {shown(','.join(map(str, seeds)) or 'none')}")
    overrides = overrides_of(told["set"], told["epochs"])
    chosen = [(table, rows) for table, rows in given.chosen_rows(given.tables_of(names), told["rows"]) if rows]
    tables = [given.shown_table(table, rows, told["baseline"]) for table, rows in chosen]
    report.check(tables, values)
    return Planner(overrides, told["runs_dir"]).plan(tables, [rows for _, rows in chosen], seeds)


def work(planned: Plan, values: Flags, signals: Signals) -> int:
    """Trains, prints and writes. Returns the exit status."""
    jobs = int(values["jobs"].value or 1)
    every: dict[str, Planned] = {one.name: one for cells in planned.cells for _, _, one in cells} | dict(planned.runs)
    with command_line.one_line_errors(program(COMMAND)):
        read = {name: outcome_of(one.row, one.config.seed, one.config) for name, one in every.items()}
        told = recorded(Path(values["json"].value), every, read) if values["json"].value else {}
        runs = to_train(planned.runs, read, told)
        progress = Progress(runs, jobs)
        if told:
            told_of = f"{len(told)} finished runs are taken from it; without the file they are trained here"
            progress.say(f"{values['json'].value}: {told_of}")
        campaign = Campaign(runs, jobs, signals, progress)
        if values["train"].value and campaign.waiting:
            announce(campaign, progress)
            campaign.train()
        read |= campaign.read
        read |= {name: one for name, one in told.items() if read[name].state == "missing"}
        outcomes = [outcomes_of(cells, read, campaign.problems) for cells in planned.cells]
        report.write(planned, outcomes, values)
    return _say_what_is_wrong(every, read, campaign)


def announce(campaign: Campaign, progress: Progress) -> None:
    """Says what is about to be trained, and where to watch."""
    first = campaign.runs[campaign.waiting[0]]
    count, finished = len(campaign.runs), campaign.finished
    refused = sum(one.state == "refused" for one in campaign.read.values())
    done = (f", {finished} finished" if finished else "") + (
        f", {refused} not counted (see the end)" if refused else ""
    )
    progress.say(f"{count} runs{done}, {campaign.jobs} at a time; the first writes to {children.log_of(first)}")


def _say_what_is_wrong(every: dict[str, Planned], read: dict[str, Outcome], campaign: Campaign) -> int:
    """One line for every run that failed or whose results cannot be counted. Returns the exit status."""
    lines = []
    for name, one in every.items():
        outcome = read[name]
        if outcome.state == "refused":
            lines.append(f"{one.title}: not counted: {outcome.problem}")
        elif name in campaign.problems:
            told = children.where_told(one)
            lines.append(f"{one.title}: failed: {campaign.problems[name]}" + (f"; see {told}" if told else ""))
    for line in lines:
        print(f"{program(COMMAND)}: error: {line}", file=sys.stderr)
    return 1 if lines else 0
