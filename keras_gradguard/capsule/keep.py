"""Begins to keep a capsule, where somebody asks for one."""

from pathlib import Path

from keras_gradguard.capsule.keeper import Keeper
from keras_gradguard.models import keras_private
from keras_gradguard.recording.fit_exit import fit_frame


def keep(owner, folder, every, model, recording):
    """Begin to keep a capsule, if somebody asks for one.

    Args:
        owner: Str. Who asks for it, for messages.
        folder: Str. Where to write, or None: keep none.
        every: Int. Batches from one copy of the state to the next.
        model: A compiled Keras model that is about to train.
        recording: Its `Recording`, or what stands for it in loops by hand.

    Returns:
        A `Keeper`, or None.

    Raises:
        OSError: If the directory cannot be written.
    """
    if folder is None:
        return None
    try:
        Path(folder).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise type(error)(
            error.errno,
            f"{owner}: `capsule` must be a writable directory. Received: "
            f"capsule={folder[:200]!r} ({error.strerror}). Choose another "
            "directory",
        ) from error
    keeper = Keeper(owner, folder, every)
    keeper.start(model, recording, keras_private.epoch_iterator(fit_frame()))
    return keeper
