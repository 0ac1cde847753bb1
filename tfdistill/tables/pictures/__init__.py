"""Pictures of tables: bars, test curves, heat maps and sweeps; matplotlib is imported when one is drawn."""

from tfdistill.tables.pictures.drawing import draw, said
from tfdistill.tables.pictures.files import ENDINGS, require_picture

__all__ = ["ENDINGS", "draw", "require_picture", "said"]
