"""Two runs side by side: which layers differ, and since when."""

import os
from pathlib import Path

from keras_gradguard import _paths
from keras_gradguard import _validation
from keras_gradguard.diagnosis import diagnose
from keras_gradguard.diagnosis.comparison.differences import differences
from keras_gradguard.diagnosis.comparison.pairs import pairs_of
from keras_gradguard.diagnosis.comparison.result import Comparison
from keras_gradguard.trace.trace import Trace

_OWNER = "compare"


def compare(
    a: Trace | str | os.PathLike[str],
    b: Trace | str | os.PathLike[str],
    *,
    factor: float = 10.0,
) -> Comparison:
    """Tell which layers of two runs differ, and since when.

    Use it on a run that learns and one that does not, before and after a
    change, or on two seeds. Both are cut into the same windows of steps, at
    most 64, each with at least 8 records of both. In a window a layer has
    the median of its gradient norms. A layer differs where one of the two is
    `factor` times the other in three windows in a row (or in all, if there
    are fewer). The norms and the updates of weights, which are measured at
    some steps only, are compared at those.

    Layers belong together by path; by path without the model's name where
    these differ; by their place where both runs have the same kinds of layers
    in the same order. A median that is not finite, or 0, differs from any
    that is. Steps that only one run has are left out.

    Args:
        a: `Trace`, or a path as for `Trace.load`: the `log_dir` of a run.
        b: The other one.
        factor: Float > 1. Larger tells less. Defaults to 10.0.

    Returns:
        A `Comparison`: `str()` of it says it in words.

    Raises:
        OSError: If there is no file, or no run in a directory.
        TypeError: If `a` or `b` is neither a trace nor a path.
        ValueError: If `factor` is not above 1, or a file is damaged.

    Example:
    >>> import numpy as np
    >>> import keras_gradguard as kgg
    >>> runs = []
    >>> for norms in ([1.0, 1.0], [0.01, 1.0]):
    ...     trace = kgg.Trace(["h", "out"], ["h/kernel", "out/kernel"], [0, 1])
    ...     trace.append(np.arange(160), np.tile(norms, (160, 1)))
    ...     runs.append(trace)
    >>> print(kgg.compare(*runs))
    1 of 2 layers differs by more than 10 times, over steps 0 to 159.
    <BLANKLINE>
    h: grad_norm is 1 in a, 0.01 in b (100 times less), since step 0.
    """
    factor = _validation.check_number(
        _OWNER,
        "factor",
        factor,
        above=1.0,
        hint="Pass 10 for what differs tenfold.",
    )
    one, other = _trace("a", a), _trace("b", b)
    pairs = pairs_of(one, other)
    rows, span = differences(one, other, pairs, factor)
    found = [diagnose(trace).findings for trace in (one, other)]
    rules = [{finding.rule for finding in findings} for findings in found]
    return Comparison(
        rows,
        layers=[pair.name for pair in pairs.both],
        only_a=pairs.only_a,
        only_b=pairs.only_b,
        steps=span,
        factor=factor,
        names=_names(a, b),
        matched_by=pairs.matched_by,
        findings_only_a=[f for f in found[0] if f.rule not in rules[1]],
        findings_only_b=[f for f in found[1] if f.rule not in rules[0]],
    )


def _trace(name: str, given: Trace | str | os.PathLike[str]) -> Trace:
    if isinstance(given, str | os.PathLike):
        return Trace.load(_paths.check_path(_OWNER, name, given))
    if not isinstance(given, Trace):
        _validation.fail(
            TypeError,
            _OWNER,
            name,
            "a Trace, or the directory of a run",
            given,
            "Pass `monitor.trace`, or the log_dir of a GradientMonitor.",
            show_type=True,
        )
    return given


def _names(
    a: Trace | str | os.PathLike[str], b: Trace | str | os.PathLike[str]
) -> tuple[str, str]:
    """What to call the two: their paths, where these tell them apart."""
    if isinstance(a, Trace) or isinstance(b, Trace) or str(a) == str(b):
        return "a", "b"
    return str(Path(a)), str(Path(b))
