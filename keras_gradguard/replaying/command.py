"""The command `python -m keras_gradguard replay CAPSULE`."""

import functools
import importlib
import json
import os

from keras_gradguard.capsule.contents import read_facts


def add_replay(commands, backends):
    """Add the command to the command line.

    Args:
        commands: The subparsers of `argparse`.
        backends: Names of backends that a capsule may be of.
    """
    replay = commands.add_parser(
        "replay",
        help="find batch, layer and operation at fault, from a capsule",
        description="Runs the steps of a capsule that GradientMonitor("
        "capsule=CAPSULE) wrote, bit for bit, and names the batch, the layer "
        "and the operation at fault, on the backend of the run.",
    )
    replay.add_argument("capsule", metavar="CAPSULE", help="the directory")
    replay.add_argument(
        "--model",
        metavar="MODULE:FUNCTION",
        help="function that returns the model, compiled as in the run "
        "(default: the model in the capsule)",
    )
    replay.add_argument(
        "--unsafe",
        action="store_true",
        help="run code in the capsule, of Lambda layers: only if you trust it",
    )
    replay.add_argument(
        "--json", action="store_true", help="print the result as JSON"
    )
    replay.set_defaults(run=functools.partial(_replay, backends))


def _replay(backends, options):
    # Keras reads the backend when it is imported.
    backend = str(read_facts(options.capsule).get("backend"))
    if backend in backends:
        os.environ.setdefault("KERAS_BACKEND", backend)
    from keras_gradguard.replaying.replay import replay

    model = _imported(options.model) if options.model else None
    try:
        found = replay(options.capsule, model, safe_mode=not options.unsafe)
    except TypeError as error:
        raise ValueError(str(error)) from error
    print(json.dumps(found.to_dict(), indent=2) if options.json else found)


def _imported(text):
    """Return the function that `module:function` names."""
    module, _, name = text.partition(":")
    try:
        return functools.reduce(
            getattr, name.split("."), importlib.import_module(module)
        )
    except (ImportError, AttributeError, ValueError) as error:
        raise ValueError(
            "`--model` must name a function, as in my_module:make_model. "
            f"Received: {text!r} ({error}). Run it where the module can be "
            "imported"
        ) from error
