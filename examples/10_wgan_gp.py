"""A GAN in a loop of its own: WGAN-GP, two networks, an optimizer each.

`fit` never runs here, so `kgg.watch` stands around the loop. The critic makes
three steps for each of the generator's (Gulrajani et al. 2017,
arXiv:1704.00028). Steps of the record are those of the first optimizer.

On JAX a compiled loop calls `optimizer.stateless_apply` inside of `jax.jit`,
which `watch` records as well; this one runs step by step on every backend.
"""

import keras
import numpy as np
from keras import layers
from keras import ops
from sklearn.datasets import load_digits

import keras_gradguard as kgg

DATA = load_digits(return_X_y=True)[0].astype("float32") / 8.0 - 1.0
NOISE, ROWS, STEPS, CRITIC_STEPS, PENALTY = 16, 64, 40, 3, 10.0

backend = keras.backend.backend()
if backend == "tensorflow":
    import tensorflow as tf

    def gradients(loss, variables):
        with tf.GradientTape() as tape:
            value = loss()
        return tape.gradient(value, [v.value for v in variables])

    def slope(function, x):
        with tf.GradientTape() as tape:
            tape.watch(x)
            value = function(x)
        return tape.gradient(value, x)

elif backend == "jax":
    import jax

    def gradients(loss, variables):
        def stateless(values):
            pairs = zip(variables, values, strict=True)
            with keras.StatelessScope(state_mapping=pairs):
                return loss()

        return jax.grad(stateless)([v.value for v in variables])

    def slope(function, x):
        return jax.grad(lambda x: ops.sum(function(x)))(x)

else:
    import torch

    def gradients(loss, variables):
        return torch.autograd.grad(loss(), [v.value for v in variables])

    def slope(function, x):
        x = x.detach().requires_grad_()
        value = function(x).sum()
        return torch.autograd.grad(value, x, create_graph=True)[0]


def train():
    """Train both networks, watched; return the monitor."""
    keras.utils.set_random_seed(1)
    generator = keras.Sequential(
        [
            keras.Input((NOISE,)),
            layers.Dense(64, "leaky_relu", name="hidden"),
            layers.Dense(64, "tanh", name="pixels"),
        ],
        name="generator",
    )
    critic = keras.Sequential(
        [keras.Input((64,))]
        + [layers.Dense(32, "leaky_relu", name=f"hidden_{i}") for i in range(5)]
        + [layers.Dense(1, name="score")],
        name="critic",
    )
    noise = keras.Input((NOISE,))
    # One model that holds the variables of both.
    gan = keras.Model(noise, critic(generator(noise)), name="gan")
    of_critic = keras.optimizers.Adam(5e-4, beta_1=0.5)
    of_generator = keras.optimizers.Adam(5e-4, beta_1=0.5)
    random = np.random.default_rng(1)

    def made():
        noise = random.normal(size=(ROWS, NOISE)).astype("float32")
        return generator(ops.convert_to_tensor(noise))

    def critic_step():
        real = ops.convert_to_tensor(random.choice(DATA, ROWS))
        fake = ops.stop_gradient(made())
        share = random.uniform(size=(ROWS, 1)).astype("float32")
        between = real + ops.convert_to_tensor(share) * (fake - real)

        def loss():
            score = ops.mean(critic(fake)) - ops.mean(critic(real))
            steepness = ops.norm(slope(critic, between), axis=-1)
            return score + PENALTY * ops.mean(ops.square(steepness - 1))

        variables = critic.trainable_variables
        of_critic.apply(gradients(loss, variables), variables)

    def generator_step():
        variables = generator.trainable_variables

        def loss():
            return -ops.mean(critic(made()))

        of_generator.apply(gradients(loss, variables), variables)

    with kgg.watch(gan, [of_critic, of_generator]) as monitor:
        for _ in range(STEPS):
            for _ in range(CRITIC_STEPS):
                critic_step()
            generator_step()
    return monitor


monitor = train()
norms = monitor.trace.get("grad_norm").mean(axis=0)
print("Mean gradient norm:")
for layer, norm in zip(monitor.trace.layers, norms, strict=True):
    print(f"{layer:20} {norm:.2g}")
