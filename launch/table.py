"""Trains the runs of tables and reports them: python launch/table.py configs/afd_table3.toml --jobs=2"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tfdistill.commands.main import run

if __name__ == "__main__":
    sys.exit(run("table", sys.argv[1:]))
