"""How the dead units of each layer are found: by output or by gradient."""

from keras_gradguard.recording.step.unit_gradients import UnitGradient
from keras_gradguard.recording.step.unit_gradients import unit_gradient


def choose_methods(sites, method):
    """Decide site by site how to tell dead units.

    Args:
        sites: List of `Site`.
        method: Str. `"auto"`, `"gradient"` or `"activation"`.

    Returns:
        Tuple of a list of the sites whose outputs are counted, a list of
        `UnitGradient` of those whose gradients are, and a dict from the path
        of each site that can be judged by neither to the reason.
    """
    outputs, gradients, skipped = [], [], {}
    for site in sites:
        if not site.can_die:
            continue
        if method != "gradient" and site.whole:
            outputs.append(site)
            continue
        float16 = site.layer.compute_dtype == "float16"
        found = unit_gradient(site, float16)
        if not isinstance(found, UnitGradient):
            skipped[site.path] = found
        elif method == "activation":
            skipped[site.path] = (
                "only the last state of an RNN can be seen; pass "
                "return_sequences=True, or method='gradient'"
            )
        else:
            gradients.append(found)
    return outputs, gradients, skipped
