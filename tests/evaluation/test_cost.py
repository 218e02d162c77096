"""Multiply-adds against closed forms, and against XLA's own count of the compiled program."""

import jax
import jax.numpy as jnp
import pytest

import foveax as fx
from foveax.evaluation.cost import decision_cost, multiply_adds


def test_a_decision_costs_what_its_matrices_hold(digits):
    """Without a retina that averages: a multiply-add per weight and glimpse."""
    config = fx.PipelineConfig(
        glimpses=5, contrast=False, bands=0, core="rnn", hidden=20, features=30, saccader_hidden=7
    )
    graph = fx.standard_pipeline(digits, config)
    params = fx.init(graph, jax.random.key(0))
    weights = [leaf.size for leaf in jax.tree.leaves(params) if leaf.ndim == 2]
    assert decision_cost(graph) == 5 * sum(weights)


def test_a_convolution_costs_what_xla_counts():
    planes, kernel = jnp.zeros((1, 9, 9, 4)), jnp.zeros((3, 3, 4, 8))

    def convolve(planes, kernel):
        return jax.lax.conv_general_dilated(planes, kernel, (1, 1), "VALID", dimension_numbers=("NHWC", "HWIO", "NHWC"))

    counted = jax.jit(convolve).lower(planes, kernel).compile().cost_analysis()
    assert multiply_adds(convolve, planes, kernel) == counted["flops"] / 2 == 7 * 7 * 8 * 36


def test_loops_count_as_often_as_they_turn_and_the_dearest_branch_counts():
    square = jnp.zeros((4, 4))

    def loop(matrix):
        return jax.lax.scan(lambda carry, _: (carry @ matrix, None), matrix, length=5)[0]

    def branches(matrix):
        return jax.lax.cond(matrix[0, 0] > 0, loop, lambda matrix: matrix @ matrix, matrix)

    assert multiply_adds(loop, square) == 5 * 64
    assert multiply_adds(branches, square) == 5 * 64
    assert multiply_adds(jax.jit(jax.vmap(loop)), jnp.zeros((3, 4, 4))) == 3 * 5 * 64


@pytest.mark.parametrize("scales", [1, 2])
def test_a_wider_retina_costs_more_by_its_encoder(digits, scales):
    """The encoder reads each scale's pixels; averaging them is two products."""
    config = fx.PipelineConfig(glimpses=1, contrast=False, scales=scales)
    one = decision_cost(fx.standard_pipeline(digits, config))
    average = (9 * 19 * 19 + 9 * 9 * 19) if scales == 2 else 0
    without = decision_cost(fx.standard_pipeline(digits, fx.PipelineConfig(glimpses=1, contrast=False)))
    assert one - without == (scales - 1) * 81 * 256 + average
