"""Labels the operations of a step with the layers that asked for them."""

from keras_gradguard import _backend
from keras_gradguard.models.layers import call_name
from keras_gradguard.models.layers import forward_layers
from keras_gradguard.models.layers import layer_path
from keras_gradguard.models.patches import Patches

LOSS = "the loss"


class Labels:
    """Gives each layer, each operation of a graph, and the loss a label.

    Args:
        model: A Keras model.

    Attributes:
        loss: List of the losses that were computed.
    """

    def __init__(self, model):
        self._model = model
        self._backend = _backend.current()
        self._patches = Patches()
        self.loss: list = []
        self._named = forward_layers(model)[1:]
        known = {id(layer) for layer in self._named}
        for layer in [model, *self._named]:
            for operation in getattr(layer, "operations", None) or ():
                if id(operation) not in known:
                    known.add(id(operation))
                    self._named.append(operation)

    def __enter__(self):
        for label, layer in enumerate(self._named):
            self._patches.replace(
                layer, call_name(layer), self._labelled(label)
            )
        self.loss.clear()
        self._patches.replace(self._model, "compute_loss", self._noting)
        return self

    def __exit__(self, *_):
        self._patches.undo()

    def _labelled(self, label):
        def make(original):
            def call(*args, **kwargs):
                with self._backend.operation_scope(label):
                    return original(*args, **kwargs)

            return call

        return make

    def _noting(self, original):
        labelled = self._labelled(len(self._named))(original)

        def compute_loss(*args, **kwargs):
            loss = labelled(*args, **kwargs)
            self.loss.append(loss)
            return loss

        return compute_loss

    def name(self, label):
        """Return the path of a layer, or what else a label stands for.

        Args:
            label: Int.
        """
        if label == len(self._named):
            return LOSS
        if not 0 <= label < len(self._named):
            return self._model.name
        return layer_path(self._named[label])
