"""Code that names the user's own layers, for remedies to paste."""

from keras_gradguard.diagnosis.evidence.stretches import kernel_shapes


def layer_code(run, layer, activation):
    """Return a layer with another activation and He's initializer.

    Args:
        run: `RunInfo` of the run or the model.
        layer: Str. Its path.
        activation: Str.
    """
    info = run.info(layer)
    kind = info.get("class") or "Dense"
    return (
        f'keras.layers.{kind}({_sizes(info)}, activation="{activation}", '
        f'kernel_initializer="he_normal", name="{_name(layer)}")'
    )


def preset_code(run, layer, preset):
    """Return a layer with the pairing of a preset.

    Args:
        run: `RunInfo` of the run or the model.
        layer: Str. Its path.
        preset: Str. Name of the pairing.
    """
    info = run.info(layer)
    kind = info.get("class") or "Dense"
    return (
        f"keras.layers.{kind}({_sizes(info)}, "
        f'**keras_gradguard.presets.get("{preset}"), name="{_name(layer)}")'
    )


def normalize_code(run, layers):
    """Return the first of some layers with a normalization behind it.

    Args:
        run: `RunInfo` of the run or the model.
        layers: List of str, their paths; may be empty.
    """
    name = _name(layers[0]) if layers else "dense"
    info = run.info(layers[0]) if layers else {}
    kind, activation = info.get("class"), info.get("activation")
    return (
        f'keras.layers.{kind or "Dense"}({_sizes(info)}, name="{name}"),\n'
        "keras.layers.BatchNormalization(),\n"
        f'keras.layers.Activation("{activation or "relu"}"),'
    )


def _name(layer):
    return str(layer).rsplit("/", maxsplit=1)[-1]


def _sizes(info):
    return ", ".join(str(unit) for unit in _units(info)) or "units"


def _units(info):
    """Return the leading constructor arguments of a layer, as far as known."""
    if "units" in info:
        return [info["units"]]
    shapes = kernel_shapes(info)
    if not shapes:
        return []
    shape = [int(size) for size in shapes[0]]
    if len(shape) == 2:
        return [shape[-1]]
    return [shape[-1], tuple(shape[:-2])]
