"""Draws what the networks of a run see: python launch/preview.py --flagfile=configs/ie_dml.flags --out=seen.png"""

import sys

import quietly  # first

from tfdistill.commands.preview import main

if __name__ == "__main__":
    sys.exit(quietly.run(main))
