"""What a step measures of its gradients, one function a series.

Each has the name of its entry in `trace/series.py`. It takes the n gradients
of a step, as dense tensors, and whether XLA compiles the step, and returns one
number for each, a float32 tensor (n,).
"""

from keras_gradguard import _backend


def grad_norm(gradients, xla):
    """L2 norms, which neither overflow nor underflow."""
    return _backend.current().l2_norms(gradients, xla)
