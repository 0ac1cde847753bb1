"""Scores a run or a SavedModel on any data set: python launch/evaluate.py --run=quickstart"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tfdistill.commands.main import run

if __name__ == "__main__":
    sys.exit(run("evaluate", sys.argv[1:]))
