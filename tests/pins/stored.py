"""What is judged without a backend: stored traces and a file of format 1.

Nothing here imports Keras.
"""

import contextlib
import io
import json
import pathlib
import re
import runpy
import sys
import tarfile

import numpy as np

import keras_gradguard as kgg

HERE = pathlib.Path(__file__).parent
TRACES = HERE / "traces.tar.xz"
# Written by the release before the house moved: users have such files.
TRACE_FILE = HERE / "trace_v1.npz"
# The same trace, as it is written now.
SAVED_FILE = HERE / "trace_saved.npz"


def pinned(name):
    """Return what is pinned under a name."""
    return json.loads((HERE / f"{name}.json").read_text("utf-8"))


def load_traces(folder):
    """Unpack the recorded traces into a folder; return them by name."""
    with tarfile.open(TRACES) as archive:
        archive.extractall(folder, filter="data")
    return {
        path.stem: kgg.Trace.load(path)
        for path in sorted(pathlib.Path(folder).glob("*.npz"))
    }


def store_traces(traces, folder):
    """Pack traces, by name. Uncompressed files pack better together."""
    with tarfile.open(TRACES, "w:xz", preset=9) as archive:
        for name, trace in sorted(traces.items()):
            path = pathlib.Path(folder) / f"{name}.npz"
            trace.save(path)
            plain = io.BytesIO()
            np.savez(plain, **arrays_of(path))
            entry = tarfile.TarInfo(path.name)
            entry.size = plain.tell()
            plain.seek(0)
            archive.addfile(entry, plain)


def arrays_of(path):
    """Return the arrays of a file, by name."""
    with np.load(path, allow_pickle=False) as file:
        return {name: file[name] for name in file.files}


def header_of(arrays):
    return json.loads(arrays["header"].tobytes().decode())


def diagnosis(trace):
    """Return what the rules say of a trace, all of it."""
    report = kgg.diagnose(trace)
    return {
        "verdict": report.verdict,
        "ranked": [finding.rule for finding in report.ranked],
        "findings": [finding.to_dict() for finding in report.findings],
        "text": str(report).splitlines(),
    }


def diagnoses(folder):
    return {
        name: diagnosis(trace) for name, trace in load_traces(folder).items()
    }


def make_trace():
    """Return a trace with everything that a file of format 1 can hold."""
    layers = ["net/first", "net/zwölf"]
    variables = [
        f"{layer}/{name}" for layer in layers for name in ("kernel", "bias")
    ]
    trace = kgg.Trace(
        layers,
        variables,
        [0, 0, 1, 1],
        capacity_bytes=1,
        meta={
            "steps_per_epoch": 50,
            "epochs_planned": 12,
            "optimizer": {"class": "SGD", "learning_rate": 0.5},
            "layer_info": {"net/first": {"class": "Dense", "units": 4}},
        },
        has_gradient=[True, True, True, False],
        sizes=[12, 4, 16, 4],
    )
    at = np.arange(587)
    norms = np.abs(np.sin(at[:, None] * 0.37 + np.arange(4))) + 0.01
    norms[:, 3] = np.nan
    norms[450:455, 2] = np.inf
    norms[455:460, 0] = np.nan
    extra = {
        "loss": 1 / (1 + at / 50),
        "clip_threshold": np.where(at < 20, np.inf, 0.5),
    }
    for part in np.array_split(at, 7):
        trace.append(
            part,
            norms[part],
            np.minimum(0.5, np.sqrt(np.nansum(norms[part] ** 2, axis=1))),
            part % 97 == 96,
            {name: values[part] for name, values in extra.items()},
        )
        trace.append_activations(
            int(part[0]),
            ["net/first", "net/zwölf"],
            {
                "zero_fraction": np.array([0.25, part[0] / 2000]),
                "std": np.array([1.0, np.nan]),
            },
            {"loss": float(extra["loss"][part[0]]), "input_max": 3.0},
        )
        trace.append_updates(
            part[:1],
            norms[part[:1]] + 1,
            1e-3 * (norms[part[:1]] + 1),
            zero_fraction=np.full((1, 4), 0.125),
            distance=norms[part[:1]] / 7,
            epoch_change=norms[part[:1]] / 70,
        )
    for epoch in range(11):
        logs = {"loss": 2.0 / (1 + epoch)}
        if epoch > 3:  # a log that comes up late
            logs["val_loss"] = float("nan") if epoch == 5 else 2.5
        trace.append_epoch(epoch, 50 * epoch + 49, logs)
    trace.pin([33, 34])
    remedy = kgg.Remedy(
        "Lower it", "It is high", "x = 1", None, "set_learning_rate",
        {"factor": 0.1},
    )  # fmt: skip
    trace.remember(
        [
            kgg.Finding(
                "nonfinite_gradient",
                "critical",
                ["net/zwölf"],
                450,
                460,
                9,
                {"window": {"first_step": 450, "last_step": 460}},
                "It is not finite.",
                [remedy],
            )
        ]
    )
    return trace


def trace_file():
    """Return what the stored file of format 1 holds."""
    arrays = arrays_of(TRACE_FILE)
    return {
        "arrays": {
            name: [str(array.dtype), list(array.shape)]
            for name, array in arrays.items()
            if name != "header"
        },
        "header": header_of(arrays),
        "content": kgg.Trace.load(TRACE_FILE).to_dict(),
    }


def commands():
    """Return what `python -m keras_gradguard` understands."""
    return {
        " ".join(words) or "(none)": _options(words)
        for words in ([], ["demo"], ["report"])
    }


def _options(words):
    out, argv = io.StringIO(), sys.argv
    sys.argv = ["keras_gradguard", *words, "--help"]
    try:
        with contextlib.redirect_stdout(out), contextlib.suppress(SystemExit):
            runpy.run_module("keras_gradguard", run_name="__main__")
    finally:
        sys.argv = argv
    usage = out.getvalue().partition("\n\n")[0]
    return sorted(
        set(re.findall(r"(?<![\w-])--?[a-z][\w-]*|[A-Z_]{2,}", usage))
        | set(re.findall(r"\{[\w,]+\}", usage))
    )
