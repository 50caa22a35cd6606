"""A GAN as the guides of Keras write it: two optimizers, one train step."""

import keras
from keras import ops

LATENT = 16


class GAN(keras.Model):
    """A generator and a discriminator that train each other.

    Not for JAX, where Keras carries the state of `model.optimizer` only.

    Args:
        generator: Model from `LATENT` numbers to a sample.
        discriminator: Model from a sample to a logit: how real it looks.
    """

    def __init__(self, generator, discriminator):
        super().__init__()
        self.generator = generator
        self.discriminator = discriminator
        self.seeds = keras.random.SeedGenerator()
        self.means = [keras.metrics.Mean(name=n) for n in ("d_loss", "g_loss")]
        self.built = True

    def compile(self, d_optimizer, g_optimizer):
        super().compile()
        self.d_optimizer = d_optimizer
        self.g_optimizer = g_optimizer
        self.loss_fn = keras.losses.BinaryCrossentropy(from_logits=True)

    def train_step(self, data):
        real = data[0] if isinstance(data, tuple) else data
        rows = ops.shape(real)[0]
        ones, zeros = ops.ones((rows, 1)), ops.zeros((rows, 1))

        def fake():
            noise = keras.random.normal((rows, LATENT), seed=self.seeds)
            return self.generator(noise)

        def d_loss():
            both = ops.concatenate([real, fake()], axis=0)
            labels = ops.concatenate([ones, zeros], axis=0)
            return self.loss_fn(labels, self.discriminator(both))

        def g_loss():
            return self.loss_fn(ones, self.discriminator(fake()))

        d = self._descend(d_loss, self.discriminator, self.d_optimizer)
        g = self._descend(g_loss, self.generator, self.g_optimizer)
        for mean, loss in zip(self.means, (d, g), strict=True):
            mean.update_state(loss)
        return {mean.name: mean.result() for mean in self.means}

    def _descend(self, loss_of, network, optimizer):
        variables = network.trainable_weights
        if keras.backend.backend() == "tensorflow":
            import tensorflow as tf

            with tf.GradientTape() as tape:
                loss = loss_of()
            optimizer.apply(tape.gradient(loss, variables), variables)
            return loss
        import torch

        self.zero_grad()
        loss = loss_of()
        loss.backward()
        with torch.no_grad():
            optimizer.apply([v.value.grad for v in variables], variables)
        return loss.detach()
