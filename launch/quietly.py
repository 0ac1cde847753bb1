"""Imports TensorFlow without the notices that its libraries print before its logging can be told to be quiet.

Scripts here import this first. If the import fails, everything that it printed is shown.
"""

import os
import sys
import tempfile
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
# As `tfdistill.startup` does, which has to come before TensorFlow.
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

with tempfile.TemporaryFile() as notices:
    stderr = os.dup(2)
    os.dup2(notices.fileno(), 2)
    failed = True
    try:
        import tensorflow  # noqa: F401

        failed = False
    finally:
        os.dup2(stderr, 2)
        os.close(stderr)
        if failed:
            notices.seek(0)
            os.write(2, notices.read())
