"""Trains networks and exports them: python launch/train.py --flagfile=configs/ie_dml.flags"""

import sys

import quietly  # first

from tfdistill.commands.train import main

if __name__ == "__main__":
    sys.exit(quietly.run(main))
