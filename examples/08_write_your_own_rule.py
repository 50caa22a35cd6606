"""A rule of your own: say so when a layer's weights grow tenfold."""

import keras
from sklearn.datasets import load_diabetes

from keras_gradguard import Finding
from keras_gradguard import GradientMonitor
from keras_gradguard import Rule


class GrowingWeights(Rule):
    """Finds layers whose weights are ten times as large as at the start."""

    id = "growing_weights"

    def check(self, trace):
        steps, norms = trace.measured("weight_norm")
        for step, row in zip(steps, norms, strict=True):
            if len(grown := trace.layers[row > 10 * norms[0]]):
                text = f"The weights of {', '.join(grown)} grew tenfold."
                return [
                    Finding(
                        rule=self.id,
                        severity="warning",
                        layers=grown.tolist(),
                        first_step=int(step),
                        last_step=int(steps[-1]),
                        epoch=trace.epoch_of(step),
                        evidence={"factor": 10},
                        message=text,
                    )
                ]
        return []


keras.utils.set_random_seed(1)
x, y = load_diabetes(return_X_y=True)
layers = [keras.layers.Dense(8, "relu", name="hidden"), keras.layers.Dense(1)]
model = keras.Sequential([keras.Input((10,)), *layers], name="net")
model.compile(keras.optimizers.Adam(0.1), "mse")
monitor = GradientMonitor(rules=[GrowingWeights(), "exploding_gradient"])
model.fit(x, y, epochs=30, verbose=0, callbacks=[monitor])
