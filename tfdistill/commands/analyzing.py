"""The command `analyze` once its flags are good: networks loaded, looked at, and what is found written."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from absl import flags

from tfdistill.analysis import ANALYSES
from tfdistill.analysis.analysis import Analysis
from tfdistill.analysis.options import Options
from tfdistill.analysis.study import Study
from tfdistill.analysis.writing import write
from tfdistill.bounds import ArgumentError
from tfdistill.commands import command_line
from tfdistill.commands.studies import study_of
from tfdistill.devices import runtime
from tfdistill.files import FileError
from tfdistill.standalone.calling import program

COMMAND = "analyze"


def analyze(values: flags.FlagValues, options: Options) -> int:
    """Looks at the networks, prints what is found and writes it. Returns the exit status."""
    with command_line.one_line_errors(program(COMMAND)):
        study, told = study_of(values, options)
        chosen = [(name, ANALYSES[name](), study.without_notes()) for name in dict.fromkeys(values.what)]
        for _, one, own in chosen:
            one.check(own)
        study.require_sound_answers()
    for line in dict.fromkeys(told):
        print(f"note: {line}", file=sys.stderr)
    for name, one, own in chosen:
        make(name, one, own, values)
    return 0


def make(name: str, analysis: Analysis, study: Study, values: flags.FlagValues) -> None:
    """One analysis: found, printed, written."""
    with _one_line(), command_line.memory_errors(program(COMMAND)):
        findings = analysis.find(study)
        print("\n".join([f"\n{analysis.title}", *findings.lines, *(f"note: {one}" for one in study.notes)]))
        written = write(findings, name, facts(name, analysis, study, values), Path(values.out))
    print(f"written: {', '.join(map(str, written))}")


def facts(name: str, analysis: Analysis, study: Study, values: flags.FlagValues) -> Mapping[str, Any]:
    """What was looked at, for the JSON file."""
    return {
        "analysis": name,
        "paper": analysis.paper,
        "sources": {one.label: one.source for one in study.subjects},
        "teacher": study.teacher,
        "dataset": study.dataset,
        "split": study.split,
        "options": {one: values[one].value for one in vars(study.options)},
        "notes": study.notes,
        "versions": runtime.versions(),
    }


@contextlib.contextmanager
def _one_line() -> Iterator[None]:
    """Ends the process with one line where a network or a folder is to blame; what else goes wrong is a defect."""
    try:
        yield
    except (ArgumentError, FileError) as error:
        print(f"{program(COMMAND)}: error: {error}", file=sys.stderr)
        sys.exit(2)
