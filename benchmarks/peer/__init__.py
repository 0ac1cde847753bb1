"""The same training steps in plain PyTorch, to measure tfdistill's speed against. Nothing in tfdistill imports it."""

# How a step can be computed; the fastest on the machine is what is compared.
FORMS = ("eager", "eager, channels_last", "compiled, channels_last")
INSTALL = "pip install torch==2.13.0 numpy --extra-index-url https://download.pytorch.org/whl/cpu"
