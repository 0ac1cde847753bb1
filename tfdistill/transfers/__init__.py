"""Transfers, one file each: what one learner takes from one source."""

from tfdistill.transfers.course import Course, courses
from tfdistill.transfers.kd import KD
from tfdistill.transfers.transfer import Lesson, Pairing, Preparation, Transfer

TRANSFERS: dict[str, type[Transfer]] = {
    "kd": KD,
}

__all__ = ["KD", "TRANSFERS", "Course", "Lesson", "Pairing", "Preparation", "Transfer", "courses"]
