"""Transfers, one file each: what one learner takes from one source."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tfdistill import lazy

if TYPE_CHECKING:
    from tfdistill.transfers.course import Course, courses
    from tfdistill.transfers.inheritance import Inheritance
    from tfdistill.transfers.kd import KD
    from tfdistill.transfers.map_distance import MapDistance
    from tfdistill.transfers.transfer import Lesson, Pairing, Preparation, Transfer
else:
    __getattr__, __dir__ = lazy.attributes(__name__)

TRANSFERS: lazy.Lookup[type[Transfer]] = lazy.Lookup(
    __name__,
    {
        "kd": "KD",
        "map_distance": "MapDistance",
    },
)

__all__ = [
    "KD",
    "TRANSFERS",
    "Course",
    "Inheritance",
    "Lesson",
    "MapDistance",
    "Pairing",
    "Preparation",
    "Transfer",
    "courses",
]
