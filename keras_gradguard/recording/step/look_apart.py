"""A pass forward of its own, in the graph of the step that is traced."""

import keras

from keras_gradguard import _backend
from keras_gradguard._backend.errors import CannotRunAgainError
from keras_gradguard._text import error_in_words
from keras_gradguard.recording.parts import ACTIVATIONS


def may_look(model, parts, arguments):
    """Whether the model may be called once more in the step.

    Where it would draw or do something twice, that is told.

    Args:
        model: The model.
        parts: `Parts` of the recording.
        arguments: What the train step was called with, a tuple.
    """
    try:
        x, _, _ = keras.utils.unpack_x_y_sample_weight(arguments[0])
        _backend.current().check_runs_again(_forward_of(model), x)
    except CannotRunAgainError as error:
        parts.fail((ACTIVATIONS,), error)
        return False
    except Exception:
        return True  # What it raises shows in the look as well.
    return True


def look(model, here, arguments, facts):
    """Call a model so that no variable of it changes.

    A data structure of the user's own may not be understood; then there
    are no activations to be had.

    Args:
        model: The model.
        here: What is gathered in this thread.
        arguments: What the train step was called with, a tuple.
        facts: Dict of facts on the data, which says why nothing was measured.
    """
    here.apart = True
    try:
        x, _, _ = keras.utils.unpack_x_y_sample_weight(arguments[0])
        _forward_of(model)(x)
    except Exception as error:
        facts["not_measured"] = error_in_words(error)
    finally:
        here.apart = False


def _forward_of(model):
    def forward(x):
        with keras.StatelessScope(collect_losses=True):
            model(x, training=True)

    return forward
