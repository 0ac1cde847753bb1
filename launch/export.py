"""Exports the networks of a run, finished or not: python launch/export.py --run=quickstart"""

import sys

import quietly  # first

from tfdistill.commands.export import main

if __name__ == "__main__":
    sys.exit(quietly.run(main))
