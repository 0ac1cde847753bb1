"""Draws what the networks of a run see: python launch/preview.py --flagfile=configs/ie_dml.flags --out=seen.png"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tfdistill.commands.main import run

if __name__ == "__main__":
    sys.exit(run("preview", sys.argv[1:]))
