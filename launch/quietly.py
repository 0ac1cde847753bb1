"""Imports TensorFlow without the notices that its libraries print before its logging can be told to be quiet.

Scripts here import this first. If the import fails, everything that it printed is shown. What Keras' own settings file
or the environment say against what the scripts need is set aside, and said.
"""

import os
import runpy
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
# As `tfdistill.startup` does, which has to come before TensorFlow.
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
sys.path.insert(0, str(ROOT))

# Where the terminal's encoding lacks a character of ours, such as ×, its number is written in place of it.
for stream in (sys.stdout, sys.stderr):
    stream.reconfigure(errors="backslashreplace")

# Run as a file: an import of it would import the package, and with it TensorFlow.
keras_settings = runpy.run_path(str(ROOT / "tfdistill" / "keras_settings.py"))
program = Path(sys.argv[0]).name
try:
    for line in keras_settings["own_process"]():
        print(f"{program}: {line}", file=sys.stderr)
except ValueError as error:
    print(f"{program}: error: {error}", file=sys.stderr)
    sys.exit(2)

with tempfile.TemporaryFile() as notices:
    stderr = os.dup(2)
    os.dup2(notices.fileno(), 2)
    failed = True
    try:
        import tensorflow  # noqa: F401

        keras_settings["apply"]()
        failed = False
    finally:
        os.dup2(stderr, 2)
        os.close(stderr)
        if failed:
            notices.seek(0)
            os.write(2, notices.read())
