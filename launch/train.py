"""Trains networks and exports them: python launch/train.py --flagfile=configs/ie_dml.flags"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tfdistill.commands.main import run

if __name__ == "__main__":
    sys.exit(run("train", sys.argv[1:]))
