"""torch: recording in loops of the user's own."""

from keras_gradguard._backend.torch.ring import Ring


def loop_ring(rows, columns, optimizer, name):
    """Make the `Ring` of an optimizer that is applied in such a loop."""
    return Ring(rows, columns, optimizer, name)


def wait_for_records():
    """Records are there when a step has run."""


def traced_by(arguments):
    """Whether a step is being traced: torch runs it as it is written.

    Args:
        arguments: Not used.

    Returns:
        `(traced, xla, function)`.
    """
    del arguments
    return False, False, None


def count_calls(function, called, patches):
    """Nothing is to be counted: each step runs in Python."""
