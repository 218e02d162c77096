"""Published networks against activations of the original code, on parameters and images that are given by formulas.

``published.npz`` holds, for each case, mean, root mean square, maximum and one weighted mean of every area's activity
at each step, and all logits, in float64; and the names, shapes and kinds of the parameters, in PyTorch's order.
"""

import re
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from foveax.networks.blt_vs import BLTVS, STAGES
from foveax.networks.recurrent_convolutional import ccn23, rcnn_sat, spoerer2017
from foveax.networks.torch_parameters import BLT_VS, CCN23, SPOERER2017, from_torch

GOLDEN = np.load(Path(__file__).with_name("published.npz"))
CASES = sorted({name.split("/")[1] for name in GOLDEN if name.startswith("case/")})
SMALL = {"channels": (6, 8, 16, 32, 64), "classes": 10}
NARROW = (6, 6, 36, 30, 22, 16, 22)
VARIANTS = {
    "mult": {"combine": "multiply"},
    "nonorm": {"norm": False, "bias": True},
    "k5": {"kernel": 5},
    "last": {"only_last": True},
}
SWITCHES = {"nolateral": "lateral", "notopdown": "top_down", "noskip": "skips"}


def sine(count, k):
    return np.sin(1 + 0.7390851 * np.arange(count) + 0.1 * k)


def hashed(count, k):
    x = (np.arange(count, dtype=np.uint64) + k * 0x9E3779B9).astype(np.uint32)
    for shift, factor in ((16, 0x7FEB352D), (15, 0x846CA68B), (16, 1)):
        x = (x ^ (x >> np.uint32(shift))) * np.uint32(factor)
    return x / 2**31 - 1


def tensors_by_rule(table, rule):
    """A state dict, float32 and then widened, as the original was given it."""
    tensors = {}
    names, shapes, kinds = (GOLDEN[f"table/{table}/{column}"] for column in ("name", "shape", "kind"))
    for k, (name, shape, kind) in enumerate(zip(names, shapes, kinds, strict=True)):
        shape = tuple(int(side) for side in str(shape).split("x"))
        count = int(np.prod(shape))
        value = hashed(count, k) if rule == "hash" else sine(count, k)
        if kind == "weight":
            value = value * np.sqrt((3 if rule == "hash" else 1) / (count / shape[0]))
        elif kind in ("bias", "norm_bias", "running_mean"):
            value = 0.05 * value
        else:
            value = 1 + 0.1 * value
        tensors[str(name)] = value.astype(np.float32).astype(np.float64).reshape(shape)
    return tensors


def images_by_rule(shape, low, high):
    """``[N, H, W, C]``."""
    image, channel, row, column = np.indices(shape)
    wave = np.sin(0.5 * image + 0.9 * channel + 0.21 * row + 0.13 * column + 0.017 * row * column)
    pixels = low + (high - low) * (1 + wave) / 2
    return pixels.astype(np.float32).astype(np.float64).transpose(0, 2, 3, 1)


def network_of(case):
    """The network of a case, its names for tensors, and the range of its images."""
    family, *parts = case.removesuffix("_hash").split("_")
    if family == "car":
        options = {"train": True, "axis": "batch"} if parts[1] == "train" else {}
        return spoerer2017(parts[0], **options), SPOERER2017, (0, 1)
    if family == "rcnnsat":
        sizes = {"filters": (8, 12), "kernels": (5, 3), "internal_steps": 4}
        return rcnn_sat("BL", classes=10, cumulative=False, **sizes), (), (-1, 1)
    if family == "ccn23":
        letters, *rest = parts[parts[0] == "full64" :]
        options = {} if parts[0] == "full64" else dict(SMALL)
        for part in rest:
            options |= VARIANTS[part]
        return ccn23(letters, **options), CCN23, (-2, 2)
    options = {"unroll": "bio" if "bio" in parts else "sweeps", "large": "k128" not in parts}
    if "full224" in parts:
        options["classes"] = 565 if "ecoset" in parts else 1000
    else:
        widths = zip(STAGES.items(), NARROW, strict=True)
        stages = {name: stage._replace(channels=width) for (name, stage), width in widths}
        options |= {"classes": 10, "spare": 5, "stages": tuple(stages.items())}
    options |= {switch: False for word, switch in SWITCHES.items() if word in parts}
    return BLTVS(**options, weighted="single" in parts), BLT_VS, (-1, 1)


def steps_of(case):
    return 1 + max(int(key.partition("@")[2]) for key in GOLDEN[f"case/{case}/keys"])


def run(case, dtype=jnp.float64):
    """Arrays ``[steps, N, C, H, W]`` or ``[steps, N, K]`` by the keys of a case."""
    network, names, (low, high) = network_of(case)
    network = network.clone(dtype=dtype, internal_steps=steps_of(case))
    tensors = tensors_by_rule(str(GOLDEN[f"case/{case}/table"]), "hash" if case.endswith("_hash") else "sine")
    count, *_, channels, rows, columns = GOLDEN[f"case/{case}/shape"]
    images = images_by_rule((count, channels, rows, columns), low, high).astype(dtype)
    like = shapes_of(network.clone(dtype=jnp.float32, **one_image(network)), images.shape[1:])
    carry = network.initialize_carry(jax.random.key(0), images.shape[1:])
    variables = stacked(tensors, like) if case.startswith("rcnnsat") else from_torch(tensors, names, like)
    variables = jax.tree.map(lambda leaf: jnp.asarray(leaf, dtype), variables)

    def one(image):
        (_, outputs), after = network.apply(variables, carry, image, mutable=["batch_stats"])
        return outputs, after

    outputs, after = jax.jit(jax.vmap(one, axis_name="batch"))(images)
    logits = np.moveaxis(np.asarray(outputs["logits_by_step"]), 0, 1)
    found = {"logits": np.asarray(outputs["logits"])[None] if "single" in case else logits}
    found["logprob"] = np.log(np.clip(jax.nn.softmax(logits), 1e-10, 1))
    found |= {"instant_logits": logits, "cumulative_logits": logits.cumsum(axis=0)}
    found |= {f"{name}_softmax": jax.nn.softmax(found[f"{name}_logits"]) for name in ("instant", "cumulative")}
    for name in {key.partition("@")[0] for key in GOLDEN[f"case/{case}/keys"]} - set(found):
        if name.startswith("after:"):
            found[name] = running_values(after["batch_stats"], name)[None, 0]
        else:
            states = outputs[f"{as_ours(name, case)}_by_step"]
            found[name] = np.moveaxis(np.asarray(states), (0, -1), (1, 2))
            found[name] = found[name][..., 0, 0] if name == "gap" else found[name]
    return found


def shapes_of(network, shape):
    """Of a network's variables, for images of a shape."""
    carry = jax.eval_shape(lambda: network.initialize_carry(jax.random.key(0), shape))
    return jax.eval_shape(network.init, jax.random.key(0), carry, jax.ShapeDtypeStruct(shape, jnp.float32))


def one_image(network):
    """Without a batch whose statistics would be taken."""
    areas = getattr(network, "areas", ())
    return {"areas": tuple((name, area.clone(axis=None)) for name, area in areas)} if areas else {}


def as_ours(name, case):
    """The name of an area's states; CAR_torch counts layers from 1."""
    if name.startswith("layer"):
        return f"layer_{int(name[-1]) - case.startswith('car')}"
    return name.lower().replace("_bu", "_up").replace("_td", "_down")


def running_values(statistics, name):
    """Of a norm, ``[N, C]``, by PyTorch's name."""
    for pattern, replacement in SPOERER2017:
        name = re.sub(pattern, replacement, name.removeprefix("after:"))
    for part in name.split("/"):
        statistics = statistics[part]
    return np.asarray(statistics)


def stacked(tensors, like):
    """Those of rcnn-sat, whose norms have rows for the steps."""
    params, statistics = {"readout": {"kernel": tensors["readout.weight"].T, "bias": tensors["readout.bias"]}}, {}
    for layer in range(2):

        def rows(part, layer=layer):
            return np.stack([tensors[f"bn.layer{layer}.step{step}.{part}"] for step in range(4)])

        connections = {
            ours: {"kernel": tensors[f"layer{layer}.{theirs}"].transpose(2, 3, 1, 0)}
            for ours, theirs in (("bottom_up", "bottomup"), ("lateral", "lateral"))
        }
        params[f"layer_{layer}"] = connections | {"norm": {"scale": rows("gamma"), "bias": rows("beta")}}
        statistics[f"layer_{layer}"] = {"norm": {"mean": rows("mean"), "variance": rows("var")}}
    variables = {"params": params, "batch_stats": statistics}
    assert jax.tree.map(np.shape, variables) == jax.tree.map(np.shape, dict(like))
    return variables


def digest(array):
    """Mean, root mean square, maximum, and the mean weighted by a wave."""
    flat = np.asarray(array, np.float64).reshape(-1)
    wave = np.sin(1 + 0.7390851 * np.arange(flat.size))
    return np.array([flat.mean(), np.sqrt((flat**2).mean()), flat.max(), (flat * wave).mean()])


LONG = [case for case in CASES if "full" in case or case.endswith("k224")]


@pytest.mark.parametrize(
    "case", [pytest.param(case, marks=pytest.mark.nightly) if case in LONG else case for case in CASES]
)
def test_activations_are_those_of_the_original(case):
    """In float64, each to a millionth of its largest value."""
    with jax.enable_x64(True):
        found = run(case)
    for key, expected in zip(GOLDEN[f"case/{case}/keys"], GOLDEN[f"case/{case}/digests"], strict=True):
        name, _, step = key.partition("@")
        largest = np.abs(found[name]).max()
        np.testing.assert_allclose(digest(found[name][int(step)]), expected, rtol=0, atol=1e-6 * largest, err_msg=key)
    logits = GOLDEN[f"case/{case}/logits"]
    kept = found["logits"][-len(logits) :]
    np.testing.assert_allclose(kept, logits, rtol=0, atol=1e-6 * np.abs(logits).max())


COUNTS = {
    47_402: (spoerer2017(), (32, 32, 1)),
    2_602_880: (ccn23("B"), (64, 64, 3)),
    5_998_464: (ccn23("BL"), (64, 64, 3)),
    4_151_168: (ccn23("BT"), (64, 64, 3)),
    7_546_752: (ccn23("BLT"), (64, 64, 3)),
    11_037_768: (rcnn_sat("B"), (128, 128, 3)),
    39_796_040: (rcnn_sat("B-K"), (128, 128, 3)),
    40_006_824: (rcnn_sat("B-F"), (128, 128, 3)),
    28_819_848: (rcnn_sat("B-D"), (128, 128, 3)),
    28_870_920: (rcnn_sat("BL"), (128, 128, 3)),
    34_989_732: (BLTVS(), (224, 224, 3)),
    27_332_427: (BLTVS(565, "bio", 12), (224, 224, 3)),
    16_439_716: (BLTVS(large=False), (128, 128, 3)),
}


@pytest.mark.parametrize("count", COUNTS)
def test_parameters_are_as_many_as_published(count):
    network, shape = COUNTS[count]
    shapes = shapes_of(network.clone(internal_steps=1), shape)
    assert sum(leaf.size for leaf in jax.tree.leaves(shapes["params"])) == count
