"""The methods, one file each."""

from tfdistill.methods.dml import DML
from tfdistill.methods.ie_dml import IEDML
from tfdistill.methods.supervised import Supervised

METHODS = {
    "supervised": Supervised,
    "dml": DML,
    "ie_dml": IEDML,
}

__all__ = ["DML", "IEDML", "METHODS", "Supervised"]
