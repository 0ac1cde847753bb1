"""The methods, one file each."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tfdistill import lazy

if TYPE_CHECKING:
    from tfdistill.engine.distiller import Distiller
    from tfdistill.methods.afd import AFD
    from tfdistill.methods.alignment import Alignment
    from tfdistill.methods.chain import Chain
    from tfdistill.methods.cl_ilr import CLILR
    from tfdistill.methods.dcm import DCM
    from tfdistill.methods.distillation import Distillation
    from tfdistill.methods.dml import DML
    from tfdistill.methods.ensemble_kd import EnsembleKD
    from tfdistill.methods.ffl import FFL
    from tfdistill.methods.ie_dml import IEDML
    from tfdistill.methods.kdcl import KDCL
    from tfdistill.methods.mutual import Mutual
    from tfdistill.methods.one import ONE
    from tfdistill.methods.sim_kd import SimKD
    from tfdistill.methods.supervised import Supervised
    from tfdistill.methods.transferring import add_transfers
else:
    __getattr__, __dir__ = lazy.attributes(__name__)

METHODS: lazy.Lookup[type[Distiller]] = lazy.Lookup(
    __name__,
    {
        "supervised": "Supervised",
        "dml": "DML",
        "afd": "AFD",
        "alignment": "Alignment",
        "dcm": "DCM",
        "ie_dml": "IEDML",
        "ensemble_kd": "EnsembleKD",
        "kdcl": "KDCL",
        "one": "ONE",
        "cl_ilr": "CLILR",
        "ffl": "FFL",
        "distillation": "Distillation",
        "mutual": "Mutual",
        "chain": "Chain",
        "sim_kd": "SimKD",
    },
)

__all__ = [
    "CLILR",
    "FFL",
    "ONE",
    "AFD",
    "Alignment",
    "Chain",
    "DCM",
    "DML",
    "Distillation",
    "EnsembleKD",
    "IEDML",
    "KDCL",
    "METHODS",
    "Mutual",
    "SimKD",
    "Supervised",
    "add_transfers",
]
