"""The adversary of a training: changes each image of a batch so that the losses become as large as possible."""

import jax
import jax.numpy as jnp

from foveax._types import Array, Batch, InputError, Key, Params
from foveax.graph.compile import compile as compile_graph
from foveax.graph.graph import Graph
from foveax.learning.hyperparameters import Hyperparameters, LearningConfig
from foveax.robustness.balls import l2, linf, within
from foveax.training.learner import Attack, Learner, make_learner, supervised_loss

BALL = {"linf": linf, "l2": l2}
LONGEST_STEP = 1.25
"""Of a single step, in radii; more of them overfit to the corners of the ball (Wong et al. 2020, section 4.1)."""


def learner_of(graph: Graph, learning: LearningConfig, *, steps: int) -> Learner:
    """The learner that a configuration asks for: that of `foveax.make_learner`, against its adversary if it has one.

    Example:
      >>> import foveax as fx
      >>> graph = fx.standard_pipeline(fx.load("mnist5k"), fx.PipelineConfig(hidden=8, features=8))
      >>> learner_of(graph, LearningConfig(adversary=0.3, adversary_steps=2), steps=100).steps
      100
    """
    if not learning.adversary:
        return make_learner(graph, learning, steps=steps)
    return make_learner(for_float_images(graph), learning, steps=steps, attack=adversary(graph, learning))


def differentiable(graph: Graph, *, sampled: bool = False) -> Graph:
    """The same graph for float images, through whose agents gradients flow: nothing in it learns by reinforcement.

    Agents take the mode of their policy or, if `sampled`, an action drawn as in training. Where a policy chooses among
    places, its gradient is 0: `foveax.robustness.square` needs none. Raises `InputError` if the graph takes no image.

    Example:
      >>> import foveax as fx
      >>> graph = differentiable(fx.standard_pipeline(fx.load("mnist5k")))
      >>> graph.agents, str(graph.inputs["image"].dtype)
      ([], 'float32')
    """
    modules = {
        name: module._replace(apply=module.apply if sampled else module.agent.mode, agent=None)
        for name, module in graph.modules.items()
        if module.agent
    }
    return for_float_images(graph.replace(modules={**graph.modules, **modules}))


def for_float_images(graph: Graph) -> Graph:
    """The same graph for images in [0, 1], float32; raises `InputError` if it takes no image."""
    if "image" not in graph.inputs:
        raise InputError(f"a graph must take an image to be attacked; this takes {', '.join(graph.inputs)}")
    image = jax.ShapeDtypeStruct(graph.inputs["image"].shape, jnp.float32)
    return graph.replace(inputs={**graph.inputs, "image": image})


def adversary(graph: Graph, learning: LearningConfig) -> Attack:
    """Projected gradient descent on the losses of a graph, for a whole batch at once.

    ``min_θ E max_{|δ| <= epsilon} L(θ, x + δ)`` is the aim of adversarial training (Madry et al. 2018,
    https://arxiv.org/abs/1706.06083, eq. 2.1). The gradient is that of all losses that the step minimises but those of
    the agents, through crops, memory and fixations: the very fixations of the step, of which the adversary knows the
    noise. It begins at a point drawn from the ball, and makes `LearningConfig.adversary_steps` steps of 2.5 radii in
    all. The radius rises along a line during the first `LearningConfig.adversary_rise` of the training: at the full
    radius from the beginning, networks learn to answer the same to all images.

    The ``image`` of the batch that it returns is float32 in [0, 1]. Raises `InputError` if the graph takes no image.
    """
    loss = supervised_loss(graph)
    steps, rise = learning.adversary_steps, learning.adversary_rise
    ports = sorted(str(source) for source in graph.losses)
    rollout = jax.vmap(compile_graph(differentiable(graph, sampled=True), ports), in_axes=(None, 0, 0, None, None))

    def attacked(
        params: dict[str, Params], batch: Batch, progress: Array, keys: Key, attack_keys: Key, hyper: Hyperparameters
    ) -> Batch:
        share = jnp.minimum(progress / rise, 1.0) if rise else 1.0
        ball = BALL[learning.adversary_norm](learning.adversary * share)
        size = min(2.5 / steps, LONGEST_STEP) * ball.epsilon
        clean = batch["image"].astype(jnp.float32) / 255 if batch["image"].dtype == jnp.uint8 else batch["image"]

        def value(image: Array) -> Array:
            return loss(rollout(params, {**batch, "image": image}, keys, progress, hyper.graph), progress, hyper)

        def moved(image: Array, change: Array, origin: Array) -> Array:
            return within(ball, image + change, origin)

        def ascend(_: int, image: Array) -> Array:
            direction = jax.vmap(ball.direction)(jax.grad(value)(image))
            return jax.vmap(moved)(image, size * direction, clean)

        begin = jax.vmap(lambda key, image: moved(image, ball.sample(key, image.shape), image))(attack_keys, clean)
        image = jax.lax.fori_loop(0, steps, ascend, begin)
        return {**batch, "image": jax.lax.stop_gradient(image)}

    return attacked
