"""Draws what networks have learned: python launch/analyze.py --run=quickstart --what=calibration"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tfdistill.commands.main import run

if __name__ == "__main__":
    sys.exit(run("analyze", sys.argv[1:]))
