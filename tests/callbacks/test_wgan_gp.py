"""Two optimizers that step at different rates, in a loop of the user's own."""

import keras
import numpy as np
import pytest
from keras import layers
from keras import ops

import keras_gradguard as kgg
from tests import reference

ROWS, ROUNDS, CRITIC_STEPS = 8, 6, 3


def gradients(loss, variables):
    """Gradients by the backend's own tape; `loss` takes no arguments."""
    backend = keras.backend.backend()
    if backend == "tensorflow":
        import tensorflow as tf

        with tf.GradientTape() as tape:
            value = loss()
        return tape.gradient(value, [v.value for v in variables])
    if backend == "torch":
        import torch

        return torch.autograd.grad(loss(), [v.value for v in variables])
    import jax

    def stateless(values):
        pairs = zip(variables, values, strict=True)
        with keras.StatelessScope(state_mapping=pairs):
            return loss()

    return jax.grad(stateless)([v.value for v in variables])


def slope(function, x):
    """Gradient of a score by its input, itself to be differentiated."""
    backend = keras.backend.backend()
    if backend == "tensorflow":
        import tensorflow as tf

        with tf.GradientTape() as tape:
            tape.watch(x)
            value = function(x)
        return tape.gradient(value, x)
    if backend == "torch":
        import torch

        x = x.detach().requires_grad_()
        value = function(x).sum()
        return torch.autograd.grad(value, x, create_graph=True)[0]
    import jax

    return jax.grad(lambda x: ops.sum(function(x)))(x)


class WGAN:
    """Both networks and their optimizers, with the norms of each step."""

    def __init__(self):
        keras.backend.clear_session(free_memory=False)
        keras.utils.set_random_seed(4)
        self.generator = keras.Sequential(
            [keras.Input((3,)), layers.Dense(8, "tanh"), layers.Dense(2)]
        )
        self.critic = keras.Sequential(
            [keras.Input((2,)), layers.Dense(8, "tanh"), layers.Dense(1)]
        )
        noise = keras.Input((3,))
        self.both = keras.Model(noise, self.critic(self.generator(noise)))
        self.optimizers = [keras.optimizers.Adam(1e-3) for _ in range(2)]
        self.random = np.random.default_rng(4)
        self.norms = ([], [])

    def draw(self, columns):
        drawn = self.random.normal(size=(ROWS, columns)).astype("float32")
        return ops.convert_to_tensor(drawn)

    def apply(self, which, loss):
        network = (self.critic, self.generator)[which]
        variables = network.trainable_variables
        found = gradients(loss, variables)
        self.norms[which].append(
            [reference.norm(ops.convert_to_numpy(g)) for g in found]
        )
        self.optimizers[which].apply(found, variables)

    def critic_step(self):
        real = self.draw(2) + 2.0
        fake = ops.stop_gradient(self.generator(self.draw(3)))
        between = real + self.draw(1) * (fake - real)

        def loss():
            steepness = ops.norm(slope(self.critic, between), axis=-1)
            score = ops.mean(self.critic(fake)) - ops.mean(self.critic(real))
            return score + 10.0 * ops.mean(ops.square(steepness - 1.0))

        self.apply(0, loss)

    def generator_step(self):
        noise = self.draw(3)
        self.apply(1, lambda: -ops.mean(self.critic(self.generator(noise))))

    def train(self, more=0):
        for _ in range(ROUNDS):
            for _ in range(CRITIC_STEPS):
                self.critic_step()
            self.generator_step()
        for _ in range(more):
            self.critic_step()
        return [*self.both.get_weights(), *map(np.array, self.state())]

    def state(self):
        for optimizer in self.optimizers:
            yield from map(ops.convert_to_numpy, optimizer.variables)


def rows_of(trace, variables):
    paths = trace.variables.tolist()
    at = [paths.index(v.path) for v in variables]
    return trace.get("grad_norm", by="variable")[:, at]


@pytest.mark.optimized
@pytest.mark.parametrize(("first", "more"), [("critic", 2), ("generator", 0)])
def test_a_slow_optimizer_leaves_no_gap(first, more, recwarn):
    plain, gan = WGAN().train(more), WGAN()
    order = gan.optimizers[:: 1 if first == "critic" else -1]
    with kgg.watch(gan.both, order, verbose=0) as monitor:
        weights = gan.train(more)
    for a, b in zip(plain, weights, strict=True):
        np.testing.assert_array_equal(a, b)
    trace, steps = monitor.trace, ROUNDS
    if first == "critic":
        steps = CRITIC_STEPS * ROUNDS + more
    assert trace.steps.tolist() == list(range(steps))
    assert np.isfinite(trace.get("grad_norm")).all()
    assert "nonfinite_gradient" not in [f.rule for f in monitor.findings]
    critic = rows_of(trace, gan.critic.trainable_variables)
    generator = rows_of(trace, gan.generator.trainable_variables)
    exact, other = np.array(gan.norms[0]), np.array(gan.norms[1])
    own, others = (critic, generator), (exact, other)
    if first == "generator":
        own, others = own[::-1], others[::-1]
    np.testing.assert_allclose(own[0], others[0], rtol=1e-5, atol=1e-9)
    # What the other one shows are its own norms, in order, within a round.
    distance = np.abs(own[1][:, None] - others[1][None]).max(axis=2)
    at = distance.argmin(axis=1)
    assert distance.min(axis=1).max() < 1e-5
    assert (np.diff(at) >= 0).all()
    wanted = np.arange(steps) * len(others[1]) // steps
    assert np.abs(at - wanted).max() <= 2 * CRITIC_STEPS
    told = [w for w in recwarn if w.category is kgg.GradGuardWarning]
    assert not told
