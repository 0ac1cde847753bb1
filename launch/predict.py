"""Asks an exported network, without tfdistill: python launch/predict.py saved_models/quickstart/resnet14

Its source is `tfdistill/standalone/`, a folder that can be copied to where exports are asked.
"""

import runpy
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tfdistill"))
import standalone

del sys.path[0]  # beside it lie packages of tfdistill, which are not to be found by names as short as theirs

if __name__ == "__main__":
    runpy.run_module(standalone.__name__, run_name="__main__", alter_sys=False)
