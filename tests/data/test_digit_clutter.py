"""Digit clutter and debris: pixels against loops in NumPy, the rule's statistics, and the sets by name."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image
from scipy.stats import chisquare, kstest

import foveax as fx
from foveax.data.debris import Fragments, draw_fragments, lay, strew
from foveax.data.digit_clutter import compose, digit_debris, place_digits
from foveax.data.glyphs import glyphs, templates


def twin_of_digits(identity, shift):
    """Layer by layer and pixel by pixel, on the large canvas, then the mean of each block."""
    canvas = np.full((512, 512), 119)
    for digit, (right, down) in zip(identity, shift, strict=True):
        for row, column in zip(*np.nonzero(glyphs().cover[digit]), strict=True):
            to = row + down, column + right
            if 0 <= to[0] < 512 and 0 <= to[1] < 512:
                cover, white = (int(layer[digit, row, column]) for layer in glyphs())
                canvas[to] = np.floor((int(canvas[to]) * (255 - cover) + 255 * white) / 255 + 0.5)
    blocks = [[canvas[i : i + 16, j : j + 16].mean() for j in range(0, 512, 16)] for i in range(0, 512, 16)]
    return np.floor(np.array(blocks) + 0.5)


def twin_of_debris(image, fragments):
    drawn = image.copy()
    for digit, side, source, corner in zip(*(np.asarray(array) for array in fragments), strict=True):
        template = templates()[digit]
        for row in range(side):
            for column in range(side):
                at = source[0] + row, source[1] + column
                if template.mask[at]:
                    drawn[corner[0] + row, corner[1] + column] = template.value[at]
    return drawn


def test_digits_are_composed_as_loops_compose_them():
    draw = jax.jit(lambda key: (places := place_digits(key, 3), compose(*places)))
    for seed in range(2):
        (identity, shift), image = draw(jax.random.key(seed))
        np.testing.assert_array_equal(image, twin_of_digits(np.asarray(identity), np.asarray(shift)))


@pytest.mark.parametrize("shape", [(32, 32, 1), (12, 20, 3)])
def test_debris_is_laid_as_loops_lay_it(shape, rng):
    image = rng.integers(0, 256, shape, np.uint8)
    fragments = draw_fragments(jax.random.key(1), 50, shape[:2])
    expected = twin_of_debris(image, fragments)
    np.testing.assert_array_equal(jax.jit(lay)(image, fragments), expected)
    fractions = jax.jit(lay)(jnp.asarray(image / np.float32(255), jnp.float32), fragments)
    np.testing.assert_allclose(fractions, expected / 255, atol=1e-6)


def test_fragments_follow_the_rule():
    fragments = jax.jit(draw_fragments, static_argnums=(1, 2))(jax.random.key(0), 50_000, (32, 32))
    digit, side, source, corner = (np.asarray(array) for array in fragments)
    for values, count in ((digit, 10), (side - 6, 4)):
        assert chisquare(np.bincount(values, minlength=count)).pvalue > 1e-3
    for size in range(6, 10):
        for axis in (0, 1):
            assert chisquare(np.bincount(corner[side == size, axis], minlength=32 - size)).pvalue > 1e-3
    rows, columns = np.array([template.value.shape for template in templates()]).T
    assert source.min() == 0
    assert (source[:, 0] + side < rows[digit]).all()
    assert (source[:, 1] + side < columns[digit]).all()
    assert (source[:, 0] + side == rows[digit] - 1).any()


def test_the_last_row_and_column_never_carry_debris():
    blank = jnp.full((32, 32, 1), 7, jnp.uint8)
    strewn = jax.jit(jax.vmap(lambda key: strew(key, blank, 50)))(jax.random.split(jax.random.key(0), 300))
    covered = (np.asarray(strewn) != 7)[..., 0].any(axis=0)
    assert not covered[31].any()
    assert not covered[:, 31].any()
    assert covered[:31, :31].all()


def test_digits_are_placed_by_the_rule():
    identity, shift = jax.jit(jax.vmap(lambda key: place_digits(key, 3)))(jax.random.split(jax.random.key(0), 3000))
    assert (np.diff(np.sort(identity), axis=1) > 0).all()  # without replacement
    for place in range(3):
        assert chisquare(np.bincount(identity[:, place], minlength=10)).pvalue > 1e-3
    for axis, farthest in ((0, 0.29 * 512), (1, 0.19 * 512)):
        values = np.asarray(shift)[..., axis].ravel()
        assert np.abs(values).max() == int(farthest)
        jittered = values + np.sign(values) * np.random.default_rng(0).uniform(size=values.shape)
        assert kstest(jittered[values != 0] / (2 * farthest) + 0.5, "uniform").statistic < 0.02


def test_glyphs_are_black_in_a_white_outline_of_ten_pixels():
    cover, white = (np.asarray(layer, int) for layer in glyphs())
    face = cover - white
    for digit in range(10):
        ink, outline = np.argwhere(face[digit] > 127), np.argwhere(cover[digit] > 127)
        assert np.abs(ink.min(0) + ink.max(0) - 511).max() <= 2  # in the middle
        assert np.abs(ink.min(0) - outline.min(0) - 10).max() <= 1
        assert np.abs(outline.max(0) - ink.max(0) - 10).max() <= 1
    assert max(np.argwhere(cover > 0)[:, 2].max() + 148 - 511, 148 - np.argwhere(cover > 0)[:, 2].min()) <= 20


def test_templates_are_trimmed_and_cut_at_127():
    for digit, template in enumerate(templates()):
        share = np.asarray(Image.fromarray(glyphs().cover[digit]).reduce(16), int)
        rows, columns = (np.flatnonzero((share > 0).any(axis=axis)) for axis in (1, 0))
        share = share[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
        assert template.mask.shape == share.shape
        clear = share != 127  # Pillow rounds a mean of 126.5 or 127.5 in its own way
        np.testing.assert_array_equal(template.mask[clear], share[clear] >= 127)
        assert min(template.value.shape) > 9


def test_sets_by_name_are_the_same_for_everyone_and_take_options():
    once, again = (fx.load("digit_debris:pieces=10,images=64,test=64") for _ in range(2))
    np.testing.assert_array_equal(once.train["image"], again.train["image"])
    assert (once.train["image"] != once.test["image"]).any()
    assert once.classes == 10
    assert fx.load("digit_clutter:digits=4,images=64,test=64").train["digits"].shape == (64, 4)


def test_the_last_commit_of_the_generator_averages_in_eight_bits():
    plain, wrapped = (digit_debris(0, 64, 64, overflow) for overflow in (False, True))
    channels = np.repeat(plain.train["image"], 3, axis=-1)
    expected = channels.mean(axis=-1, keepdims=True, dtype=np.uint8)
    np.testing.assert_array_equal(wrapped.train["image"], expected)
    assert (wrapped.train["image"][:, 31, 0] == 33).all()


def test_debris_is_a_task_for_any_images(digits):
    config = fx.TrainingConfig(task="debris", pieces=10, shift=0)
    data = config.prepare(digits)
    np.testing.assert_array_equal(data.test["label"], digits.test["label"])
    assert 0.1 < (data.test["image"] != digits.test["image"]).mean() < 0.9
    assert data.test["image"].shape == digits.test["image"].shape
    first, second = (data.sample(jax.random.key(seed), 20)["image"] for seed in (0, 1))
    assert (first != second).any()


@pytest.mark.parametrize(("name", "message"), [
    ("digit_debris:piece=3", r"options of digit_debris must be among pieces \(int\), images \(int\).*; got 'piece=3'"),
    ("digit_debris:pieces=some", "got 'pieces=some'"),
    ("digit_debris:pieces=-1", "pieces must be a whole number, at least 0; got -1"),
    ("digit_clutter:digits=11", "digits must be at most 10, since all differ; got 11"),
    ("one_place:side=3", "options of one_place must be among none; got 'side=3'"),
])  # fmt: skip
def test_options_refused(name, message):
    with pytest.raises(fx.InputError, match=message):
        fx.load(name)


def test_images_refused():
    split = {"image": np.zeros((4, 9, 20), np.uint8), "label": np.arange(4)}
    with pytest.raises(fx.InputError, match="images must have at least 10 pixels a side for debris; got \\(9, 20\\)"):
        fx.debris(fx.from_arrays(split, split))


def test_fragments_are_laid_in_order():
    side, source, corner = np.full(2, 6, np.int32), np.full((2, 2), 3, np.int32), np.zeros((2, 2), np.int32)
    fragments = Fragments(np.array([0, 1], np.int32), side, source, corner)
    later = jax.tree.map(lambda array: array[1:], fragments)
    image = np.full((32, 32, 1), 9, np.uint8)
    both, last = (np.asarray(lay(jnp.asarray(image), each)) for each in (fragments, later))
    covered = last != 9
    assert covered.any()
    np.testing.assert_array_equal(both[covered], last[covered])
