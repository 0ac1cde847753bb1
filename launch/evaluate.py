"""Scores a run or a SavedModel on any data set: python launch/evaluate.py --run=quickstart"""

import sys

import quietly  # first

from tfdistill.commands.evaluate import main

if __name__ == "__main__":
    sys.exit(quietly.run(main))
