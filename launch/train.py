"""Trains networks and exports them: python launch/train.py --flagfile=configs/ie_dml.flags"""

import os
import sys
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tfdistill.train import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
