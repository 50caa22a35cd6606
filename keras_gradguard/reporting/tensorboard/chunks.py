"""How a run stands in an event file for the GradGuard tab.

TensorBoard keeps some number of tensors per tag and drops others at random,
so an event holds a chunk of many records. Its tensor is a vector of strings:
a JSON header, then the bytes of the arrays that the header lists.
"""

import json

import numpy as np

from keras_gradguard._files import nested_deeper
from keras_gradguard.trace.series import SHOWN_MEASURED
from keras_gradguard.trace.series import SHOWN_STEPS

PLUGIN_NAME = "keras_gradguard"
# Chunks of records to keep of a run; a day of training has about 3,000.
SAMPLES = 10_000
# One event per fit, or more: what the layers are.
LAYERS_TAG = f"{PLUGIN_NAME}/layers"
RECORDS_TAG = f"{PLUGIN_NAME}/records"
FINDINGS_TAG = f"{PLUGIN_NAME}/findings"
# Written before anything else: a first step may take minutes to compile.
STARTED_TAG = f"{PLUGIN_NAME}/started"
# Statistics per layer, each on steps of its own, and how they are shown: those
# of `BY_SITE` are per activation that can die, the "sites" of the layers'
# event, and those of `BY_VARIABLE` per variable. The range of one is that of
# its values, if none is given; where much is bad, its colours are reversed.
SHOWN = {
    **{
        series.name: {
            "title": series.title,
            "log": series.log,
            "each_step": series in SHOWN_STEPS,
        }
        for series in (*SHOWN_STEPS, *SHOWN_MEASURED)
    },
    "dead_share": {
        "title": "Dead units",
        "log": False,
        "range": [0, 1],
        "reversed": True,
    },
    "variable_norm": {"title": "Gradient norm", "log": True, "each_step": True},
}
METRICS = tuple(SHOWN)
BY_SITE = ("dead_share",)
BY_VARIABLE = ("variable_norm",)
# Gradients through time: steps, time steps there were `(M, N)`, and norms at
# those that `trace.through_time.times_of` keeps, `(M, N, TIMES)`. The names of
# the N recurrent layers are in the layers' event.
TIME_STEPS, TIME_LENGTHS, TIME_NORMS = (
    f"through_time/{part}" for part in ("step", "length", "norm")
)
# Behind a metric's name: the largest of the records that a point stands for,
# where it stands for several. The metric itself is their mean.
HIGH = "/high"
VERSION = 1
_DTYPES = ("<i8", "<f4")
# What encodes an answer gives up on JSON that is nested too deep.
_DEPTH = 40


def pack(header, arrays=None):
    """Return a chunk as an object array (n,) of bytes.

    Args:
        header: Dict that JSON can hold.
        arrays: Dict of name to int64 or float32 array.
    """
    arrays = {} if arrays is None else arrays
    listed, blobs = [], []
    for name, array in arrays.items():
        dtype = "<i8" if array.dtype.kind == "i" else "<f4"
        listed.append([name, dtype, list(array.shape)])
        blobs.append(np.ascontiguousarray(array, dtype).tobytes())
    header = {**header, "version": VERSION, "arrays": listed}
    text = json.dumps(header, allow_nan=False)
    return np.array([text.encode(), *blobs], dtype=object)


def unpack(parts):
    """Return the header and the arrays of a chunk.

    Args:
        parts: Sequence of bytes, as `pack` made them.

    Returns:
        The header, and a dict of name to array.

    Raises:
        ValueError: If it is no chunk, is damaged, or is of a later version.
    """
    parts = list(parts)
    if not parts or not all(isinstance(part, bytes) for part in parts):
        raise ValueError("a part is not made of bytes")
    try:
        header = json.loads(parts[0])
    except (ValueError, RecursionError):
        raise ValueError("the header of a part is no JSON") from None
    if not isinstance(header, dict) or nested_deeper(header, _DEPTH):
        raise ValueError("the header of a part is no plain dict")
    version, listed = header.get("version"), header.get("arrays")
    if not isinstance(version, int) or not isinstance(listed, list):
        raise ValueError("a part lacks `version` or `arrays`")
    if version > VERSION:
        raise ValueError(
            f"a part has version {version} of this data and this "
            f"package reads up to {VERSION}: upgrade keras-gradguard"
        )
    if len(listed) != len(parts) - 1:
        raise ValueError("a part lists other arrays than it has")
    arrays = {}
    for entry, blob in zip(listed, parts[1:], strict=True):
        name, array = _array(entry, blob)
        arrays[name] = array
    return header, arrays


def _array(entry, blob):
    try:
        name, dtype, shape = entry
        if not isinstance(name, str) or dtype not in _DTYPES:
            raise ValueError
        if min(shape, default=0) < 0:
            raise ValueError
        return name, np.frombuffer(blob, dtype).reshape(tuple(shape))
    except (TypeError, ValueError, OverflowError):
        raise ValueError("an array of a part is not as it says") from None
