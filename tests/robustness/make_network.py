"""Makes ``small_network.npz``: a convolutional network, trained on bundled digits, for attacks in two frameworks.

``PYTHONPATH=tests python tests/robustness/make_network.py`` writes it. It is trained on images changed by PGD, so
that attacks within 0.1 succeed on some of the test images and fail on others.
"""

import jax
import jax.numpy as jnp
import numpy as np
import optax
from small_network import FILE, logits

import foveax as fx
from foveax.robustness import cross_entropy, linf, misclassification, pgd

EPSILON, STEPS, BATCH = 0.1, 1_500, 100
SHAPES = {"kernel_1": (5, 5, 1, 8), "bias_1": (8,), "kernel_2": (5, 5, 8, 16), "bias_2": (16,), "kernel_3": (256, 10),
          "bias_3": (10,)}  # fmt: skip


def initial(key):
    """Weights of He's initialisation, biases 0."""
    keys = dict(zip(SHAPES, jax.random.split(key, len(SHAPES)), strict=True))
    make = jax.nn.initializers.he_normal()
    return {name: make(keys[name], shape) if len(shape) > 1 else jnp.zeros(shape) for name, shape in SHAPES.items()}


def main():
    """Trains and writes the network."""
    data = fx.load("mnist5k")
    images, labels = (jnp.asarray(data.train[name]) for name in ("image", "label"))
    optimizer = optax.adam(optax.cosine_decay_schedule(2e-3, STEPS))

    @jax.jit
    def step(params, state, key):
        rows_key, attack_key = jax.random.split(key)
        rows = jax.random.randint(rows_key, (BATCH,), 0, len(labels))
        clean, label = images[rows].astype(jnp.float32) / 255, labels[rows]

        def attacked(image, label, key):
            objective = misclassification(lambda image, key: logits(params, image), label, cross_entropy)
            return pgd(objective, image, key, ball=linf(EPSILON), steps=5).image

        changed = jax.vmap(attacked)(clean, label, jax.random.split(attack_key, BATCH))

        def loss(params):
            values = jax.vmap(logits, in_axes=(None, 0))(params, changed)
            return jnp.mean(jax.vmap(cross_entropy)(values, label))

        value, gradient = jax.value_and_grad(loss)(params)
        updates, state = optimizer.update(gradient, state)
        return optax.apply_updates(params, updates), state, value

    params = initial(jax.random.key(0))
    state = optimizer.init(params)
    for number in range(STEPS):
        params, state, value = step(params, state, jax.random.key(number))
        if number % 100 == 99:
            print(number + 1, float(value), flush=True)
    np.savez(FILE, **{name: np.asarray(array) for name, array in params.items()})


if __name__ == "__main__":
    main()
