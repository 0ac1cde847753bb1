"""A paper's table as data: its rows with their flags, the paper's figures, and what runs of ours gave beside them."""

from tfdistill.tables.outcome import Outcome, Scores
from tfdistill.tables.reading import read_table, row_arguments
from tfdistill.tables.table import Axis, Figures, Grid, Row, Table

__all__ = ["Axis", "Figures", "Grid", "Outcome", "Row", "Scores", "Table", "read_table", "row_arguments"]
