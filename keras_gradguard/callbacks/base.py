"""Keras's callback, with types."""

from typing import TYPE_CHECKING
from typing import Any

if TYPE_CHECKING:
    # Keras has no types: a class derived from its own may have any attribute,
    # and a checker would find no misspelt one.
    class Callback:
        """What callbacks here use of `keras.callbacks.Callback`."""

        model: Any
        params: dict[str, Any]
        _model: Any

        def __init__(self) -> None: ...
        def set_params(self, params: dict[str, Any]) -> None: ...
        def set_model(self, model: Any) -> None: ...
        def on_train_batch_end(
            self, batch: int, logs: dict[str, Any] | None = None
        ) -> None: ...
else:
    from keras.callbacks import Callback

__all__ = ["Callback"]
