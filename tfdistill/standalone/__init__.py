"""What needs nothing else of tfdistill: how a command's process starts, the command that asks exports, and boxes drawn.

The folder can be copied to where exports are served, with TensorFlow alone beside it:

    python -m standalone saved_models/quickstart/resnet14 cat.jpg
"""
