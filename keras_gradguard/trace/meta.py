"""What the `meta` of a trace may hold.

All keys are optional and others may come along. Those that are listed here
are read by rules and reports, which count on their types.
"""

from collections.abc import Mapping

from keras_gradguard._files import nested_deeper
from keras_gradguard._validation import LARGEST

_DEPTH = 50


def is_text(value):
    """Return whether a value is text that any file can hold."""
    if not isinstance(value, str):
        return False
    try:
        value.encode()
    except UnicodeEncodeError:
        return False  # half a character
    return True


def _flag(value):
    return isinstance(value, bool)


def _number(value):
    if isinstance(value, int):
        return not isinstance(value, bool) and abs(value) < LARGEST
    return isinstance(value, float)


def _whole(value):
    return _number(value) and isinstance(value, int) and value >= 0


def _sizes(value):
    # A length that is not fixed is None.
    return isinstance(value, list | tuple) and all(
        size is None or _whole(size) for size in value
    )


def _shape(value):
    # Of a variable: no length is left open.
    return _sizes(value) and None not in value


_WORDS = {
    is_text: "text",
    _flag: "true or false",
    _number: "a number",
    _whole: "a whole number from 0",
    _sizes: "a list of whole numbers",
    _shape: "a list of whole numbers",
}
# A function checks a value; a dict has these keys, `...` stands for any key;
# a list has entries of this kind.
_INITIALIZER = {"class": is_text}
_SCHEMA = {
    "backend": is_text,
    "keras_version": is_text,
    "model": is_text,
    "optimizer": {
        "class": is_text,
        "name": is_text,
        "learning_rate": _number,
        "momentum": _number,
        "clipped": _flag,
    },
    "learning_rate": _number,
    "loss_name": is_text,
    "loss_weight": _number,
    "outputs": [
        {
            "layer": is_text,
            "kind": is_text,
            "units": _whole,
            "activation": is_text,
            "loss": is_text,
            "from_logits": _flag,
            "scale": _number,
            "offset": _number,
            "behind": is_text,
            "behind_kind": is_text,
            "smoothing": _number,
            "gamma": _number,
            "summed": _flag,
        }
    ],
    "not_recorded": is_text,
    "left_by": is_text,
    "capsule": _flag,
    "epochs_planned": _whole,
    "steps_per_epoch": _whole,
    "layer_info": {
        ...: {
            "class": is_text,
            "name": is_text,
            "trainable": _flag,
            "normalization": _flag,
            "activation": is_text,
            "recurrent_activation": is_text,
            "shapes": {...: _shape},
            "kernel_initializer": _INITIALIZER,
            "recurrent_initializer": _INITIALIZER,
            "units": _whole,
        }
    },
    "sites": {
        ...: {"activation": is_text, "can_die": _flag, "saturates": _flag}
    },
    "reference": {
        "step": _whole,
        "rows": _whole,
        "kind": is_text,
        "learner": is_text,
        "score": _number,
        "error": _number,
        "chance": _number,
        "entropy": _number,
        "classes": _whole,
        "absolute": _number,
        "absolute_error": _number,
    },
    "data": {
        "input_shape": _sizes,
        "input_layer": is_text,
        "several_inputs": _flag,
        "outputs": _whole,
        "weighted": _flag,
        "target_shape": _sizes,
        "output_shape": _sizes,
        "target_dtype": is_text,
        "batch_size": _whole,
    },
}


def problem(meta):
    """Return what is wrong with a `meta`, e.g. "`meta.model` is not text".

    Args:
        meta: Whatever it is.

    Returns:
        Str, or None if nothing is.
    """
    if nested_deeper(meta, _DEPTH):
        return f"`meta` is nested deeper than {_DEPTH} levels"
    for path, words in _wrong(meta, _SCHEMA, ("meta",), False):
        return f"`{'.'.join(path)[:200]}` is not {words}"
    return None


def cleaned(meta):
    """Return a `meta` without what does not fit: a run goes on without it.

    Args:
        meta: Dict.
    """
    return {
        key: value
        for key, value in meta.items()
        if problem({key: value}) is None
    }


def _wrong(value, schema, path, optional):
    """Yield (path, what is wanted) of what does not fit."""
    if value is None and optional:
        return
    if isinstance(schema, Mapping):
        if not isinstance(value, Mapping):
            yield path, "a dict"
            return
        for key, inner in value.items():
            if not isinstance(key, str):
                yield path, "a dict with text for keys"
            elif key in schema:
                yield from _wrong(inner, schema[key], (*path, key), True)
            elif ... in schema:
                yield from _wrong(inner, schema[...], (*path, key), False)
    elif isinstance(schema, list):
        if not isinstance(value, list | tuple):
            yield path, "a list"
            return
        for at, inner in enumerate(value):
            yield from _wrong(inner, schema[0], (*path, str(at)), False)
    elif not schema(value):
        yield path, _WORDS[schema]
