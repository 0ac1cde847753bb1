"""What an analysis is, and what it finds."""

from __future__ import annotations

import abc
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from tfdistill.analysis.study import Study

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class Findings:
    """What an analysis finds.

    Attributes:
        numbers: all of it, as JSON has it; arrays are taken too.
        rows: the same as a table, all with the same columns.
        draw: draws the pictures, by what is put behind the file's name; "" is the main one.
        lines: for the terminal.
    """

    numbers: Mapping[str, Any]
    rows: Sequence[Mapping[str, Any]]
    draw: Callable[[], Mapping[str, Figure]]
    lines: Sequence[str] = ()


class Analysis(abc.ABC):
    """One way to look at networks. A subclass is one file and one line in `ANALYSES`.

    Attributes:
        title: what a picture of it is about.
        paper: where it comes from, for the page and the JSON file.
    """

    title: ClassVar[str]
    paper: ClassVar[str] = ""

    @abc.abstractmethod
    def check(self, study: Study) -> None:
        """Refuses what the analysis cannot be made of; it computes nothing yet.

        Raises:
            ValueError: one line that names the flag.
        """

    @abc.abstractmethod
    def find(self, study: Study) -> Findings:
        """Looks at the networks.

        Raises:
            ValueError: a network answers with what is no number.
        """
