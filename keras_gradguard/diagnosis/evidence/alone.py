"""Layers that compare numbers with one another and get one number only."""


def normalizations(run, numbers=1):
    """Return the paths of normalizations over so few numbers each.

    Args:
        run: `RunInfo` of the run or the model.
        numbers: Int. How many: 1 or 2.
    """
    found = [
        path
        for path, known in run.alone.items()
        if known.get("of") == "normalization" and numbers == 1
    ]
    for path, info in run.layers.items():
        shapes = info.get("shapes")
        if info.get("class") != "LayerNormalization" or not shapes:
            continue
        if all(list(shape) == [numbers] for shape in shapes.values()):
            found.append(str(path))
    return list(dict.fromkeys(found))


def softmaxes(run):
    """Return the paths of the softmaxes over one number each.

    Args:
        run: `RunInfo` of the run or the model.
    """
    return [p for p, known in run.alone.items() if known.get("of") == "softmax"]
