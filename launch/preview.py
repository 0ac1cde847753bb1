"""Draws what the networks of a run see: python launch/preview.py --flagfile=configs/ie_dml.flags --out=seen.png"""

import sys

import quietly  # noqa: F401  (first)

from tfdistill.preview import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
