"""Exports the networks of a run, finished or not: python launch/export.py --run=quickstart"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tfdistill.commands.main import run

if __name__ == "__main__":
    sys.exit(run("export", sys.argv[1:]))
