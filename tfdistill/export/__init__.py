"""Export of one trained network as a SavedModel that TensorFlow Serving serves without code of ours."""

from typing import TYPE_CHECKING

from tfdistill import lazy

if TYPE_CHECKING:
    from tfdistill.export.asides import remove_remains
    from tfdistill.export.checks import check_export
    from tfdistill.export.detections import Detections
    from tfdistill.export.exporter import export_network
    from tfdistill.export.folders import ExportError
    from tfdistill.export.models_config import repair_models_config, write_models_config
    from tfdistill.export.scoring import load_export, load_for_scoring
else:
    __getattr__, __dir__ = lazy.attributes(__name__)

__all__ = [
    "Detections",
    "ExportError",
    "check_export",
    "export_network",
    "load_export",
    "load_for_scoring",
    "remove_remains",
    "repair_models_config",
    "write_models_config",
]
