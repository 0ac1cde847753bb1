"""tfdistill: networks that teach each other, in TensorFlow and Keras.

peers = [tfdistill.networks.resnet32(classes=100), tfdistill.networks.wide_resnet_16_2(classes=100)]
distiller = tfdistill.IEDML(peers)
distiller.compile()
distiller.fit(train, validation_data=test, epochs=160)
"""

from typing import TYPE_CHECKING

import tfdistill.startup  # noqa: F401  (before TensorFlow)

from tfdistill import lazy, registration  # noqa: F401  (the second for Keras)

if TYPE_CHECKING:
    from tfdistill import analysis, data, export, losses, networks, optimizers, topology, transfers
    from tfdistill.data import load_data
    from tfdistill.engine.distiller import Distiller
    from tfdistill.export import export_network
    from tfdistill.methods import (
        AFD,
        CLILR,
        DCM,
        DML,
        FFL,
        IEDML,
        KDCL,
        METHODS,
        ONE,
        Alignment,
        Chain,
        Distillation,
        EnsembleKD,
        Mutual,
        SimKD,
        Supervised,
        add_transfers,
    )
    from tfdistill.runs.teachers import teacher
    from tfdistill.transfers import (
        AB,
        AT,
        CC,
        CRD,
        CWD,
        DIST,
        DKD,
        FT,
        IEAT,
        IEFT,
        IEOD,
        KD,
        MSE,
        NST,
        OD,
        PKD,
        PKT,
        RKD,
        SP,
        TRANSFERS,
        VID,
        FitNet,
        Jacobian,
        KDLimit,
        MapDistance,
        ReviewKD,
        SmoothL1,
        Transfer,
        VirtualTeacher,
    )
else:
    __getattr__, __dir__ = lazy.attributes(__name__)

__version__ = "0.1.0"

__all__ = [
    "AB",
    "AFD",
    "AT",
    "CC",
    "CRD",
    "CWD",
    "CLILR",
    "DCM",
    "DIST",
    "DKD",
    "DML",
    "FFL",
    "FT",
    "IEAT",
    "IEDML",
    "IEFT",
    "IEOD",
    "KD",
    "KDCL",
    "METHODS",
    "MSE",
    "NST",
    "OD",
    "ONE",
    "PKD",
    "PKT",
    "RKD",
    "SP",
    "TRANSFERS",
    "VID",
    "Alignment",
    "Chain",
    "Distillation",
    "Distiller",
    "EnsembleKD",
    "FitNet",
    "Jacobian",
    "KDLimit",
    "MapDistance",
    "Mutual",
    "ReviewKD",
    "SimKD",
    "SmoothL1",
    "Supervised",
    "Transfer",
    "VirtualTeacher",
    "add_transfers",
    "analysis",
    "data",
    "export",
    "export_network",
    "load_data",
    "losses",
    "networks",
    "optimizers",
    "teacher",
    "topology",
    "transfers",
]
