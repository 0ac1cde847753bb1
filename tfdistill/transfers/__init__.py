"""Transfers, one file each: what one learner takes from one source."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tfdistill import lazy

if TYPE_CHECKING:
    from tfdistill.transfers.ab import AB
    from tfdistill.transfers.at import AT
    from tfdistill.transfers.cc import CC
    from tfdistill.transfers.course import Course, courses
    from tfdistill.transfers.crd import CRD
    from tfdistill.transfers.cwd import CWD
    from tfdistill.transfers.dist import DIST
    from tfdistill.transfers.dkd import DKD
    from tfdistill.transfers.fitnet import FitNet
    from tfdistill.transfers.ft import FT
    from tfdistill.transfers.ie_at import IEAT
    from tfdistill.transfers.ie_ft import IEFT
    from tfdistill.transfers.ie_od import IEOD
    from tfdistill.transfers.inheritance import Inheritance
    from tfdistill.transfers.jacobian import Jacobian
    from tfdistill.transfers.kd import KD
    from tfdistill.transfers.kd_limit import KDLimit
    from tfdistill.transfers.keras_losses import KerasLoss, TransferLoss
    from tfdistill.transfers.logit_transfer import LogitTransfer
    from tfdistill.transfers.map_distance import MapDistance
    from tfdistill.transfers.mse import MSE
    from tfdistill.transfers.nst import NST
    from tfdistill.transfers.od import OD
    from tfdistill.transfers.pkd import PKD
    from tfdistill.transfers.pkt import PKT
    from tfdistill.transfers.review_kd import ReviewKD
    from tfdistill.transfers.rkd import RKD
    from tfdistill.transfers.smooth_l1 import SmoothL1
    from tfdistill.transfers.sp import SP
    from tfdistill.transfers.tap_transfer import TapTransfer
    from tfdistill.transfers.transfer import Lesson, Pairing, Preparation, Transfer
    from tfdistill.transfers.vid import VID
    from tfdistill.transfers.virtual_teacher import VirtualTeacher
else:
    __getattr__, __dir__ = lazy.attributes(__name__)

TRANSFERS: lazy.Lookup[type[Transfer]] = lazy.Lookup(
    __name__,
    {
        "kd": "KD",
        "kd_limit": "KDLimit",
        "mse": "MSE",
        "smooth_l1": "SmoothL1",
        "dkd": "DKD",
        "dist": "DIST",
        "virtual_teacher": "VirtualTeacher",
        "map_distance": "MapDistance",
        "fitnet": "FitNet",
        "at": "AT",
        "ft": "FT",
        "nst": "NST",
        "vid": "VID",
        "pkd": "PKD",
        "cwd": "CWD",
        "ab": "AB",
        "od": "OD",
        "review_kd": "ReviewKD",
        "jacobian": "Jacobian",
        "sp": "SP",
        "cc": "CC",
        "rkd": "RKD",
        "pkt": "PKT",
        "crd": "CRD",
        "ie_ft": "IEFT",
        "ie_at": "IEAT",
        "ie_od": "IEOD",
    },
)

__all__ = [
    "AB",
    "AT",
    "CC",
    "CRD",
    "CWD",
    "DIST",
    "DKD",
    "FT",
    "IEAT",
    "IEFT",
    "IEOD",
    "KD",
    "MSE",
    "NST",
    "OD",
    "PKD",
    "PKT",
    "RKD",
    "SP",
    "TRANSFERS",
    "VID",
    "Course",
    "FitNet",
    "Inheritance",
    "Jacobian",
    "KDLimit",
    "KerasLoss",
    "Lesson",
    "LogitTransfer",
    "MapDistance",
    "Pairing",
    "Preparation",
    "ReviewKD",
    "SmoothL1",
    "TapTransfer",
    "Transfer",
    "TransferLoss",
    "VirtualTeacher",
    "courses",
]
