"""How a run stands in an event file for the GradGuard tab.

TensorBoard keeps some number of tensors per tag and drops others at random,
so an event holds a chunk of many records. Its tensor is a vector of strings:
a JSON header, then the bytes of the arrays that the header lists.
"""

import json

import numpy as np

PLUGIN_NAME = "keras_gradguard"
# Chunks of records to keep of a run; a day of training has about 3,000.
SAMPLES = 10_000
# One event per fit, or more: what the layers are.
LAYERS_TAG = f"{PLUGIN_NAME}/layers"
RECORDS_TAG = f"{PLUGIN_NAME}/records"
FINDINGS_TAG = f"{PLUGIN_NAME}/findings"
# Statistics per layer, each on steps of its own; those of `BY_SITE` are per
# activation that can die, the "sites" of the layers' event.
METRICS = ("grad_norm", "update_ratio", "weight_norm", "dead_share")
BY_SITE = ("dead_share",)
VERSION = 1
_DTYPES = ("<i8", "<f4")


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
    try:
        header = json.loads(bytes(parts[0]))
        version = header["version"]
        if version > VERSION:
            raise ValueError(
                f"the file has version {version} of this data and this "
                f"package reads up to {VERSION}: upgrade keras-gradguard"
            )
        arrays = {}
        for (name, dtype, shape), blob in zip(
            header["arrays"], parts[1:], strict=True
        ):
            if dtype not in _DTYPES:
                raise ValueError(f"unknown dtype {dtype!r}")
            array = np.frombuffer(bytes(blob), dtype)
            arrays[str(name)] = array.reshape(shape)
    except (KeyError, TypeError, IndexError, AttributeError) as error:
        raise ValueError(f"no data of the GradGuard tab: {error!r}") from error
    return header, arrays
