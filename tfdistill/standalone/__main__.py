"""The command `predict` by itself: `launch/predict.py` and `python -m standalone` run this."""

import os
import sys

from . import process
from .predict import main

# TensorFlow imports parts of Keras, of which nothing is needed here; what the user has set for Keras shall not matter.
os.environ["KERAS_BACKEND"], os.environ["KERAS_HOME"] = "tensorflow", os.devnull
process.begin("predict")

sys.exit(process.run("predict", main, sys.argv[1:]))
