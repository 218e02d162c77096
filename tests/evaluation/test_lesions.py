"""Lesions of a code: of a network of which it is known which units carry the place."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from command import printed, refused

import foveax as fx
from foveax.evaluation.lesions import format_lesions, lesion_code

KEY = jax.random.key(0)


@pytest.fixture(scope="module")
def graph():
    """An eye that moves at random; units 3 and 5 of 40 carry its place, the others noise."""

    def apply(params, state, inputs, key):
        noise = jax.random.normal(key, (40,))
        return {"output": noise.at[jnp.array([3, 5])].set(inputs["fixation"])}, state

    units = fx.Module({"fixation": fx.Port((2,))}, apply, random=True)
    modules = {"eye": fx.uniform_random(), "units": units}
    links = ["memory.gaze -> units.fixation", "eye.fixation -> memory.gaze"]
    memory = {"gaze": (0.5, 0.5)}
    return fx.Graph(fx.image_source((4, 4, 1)), modules, links, 4, memory, roles=fx.Roles("gaze"))


def test_a_code_is_gone_without_its_units_and_stays_without_others(graph, tmp_path):
    split = {"image": np.zeros((60, 4, 4, 1), np.uint8), "label": np.zeros(60, np.int32)}
    rows = lesion_code(graph, {}, split, "units.output", tmp_path, key=KEY, share=0.05, randoms=2)
    assert list(rows) == ["intact", "best units", "random units 1", "random units 2"]
    assert sorted(rows["best units"].units) == [3, 5]
    assert rows["intact"].same_decoder.mean > 0.9
    assert rows["best units"].same_decoder.mean < 0.05
    assert rows["best units"].new_decoder.mean < 0.05
    for number in (1, 2):
        assert not {3, 5} & set(rows[f"random units {number}"].units)
        assert rows[f"random units {number}"].same_decoder.mean > 0.9
    assert rows["intact"].accuracy is None
    assert len(format_lesions(rows).splitlines()) == 5


def test_what_is_refused(graph, tmp_path):
    split = {"image": np.zeros((20, 4, 4, 1), np.uint8), "label": np.zeros(20, np.int32)}
    with pytest.raises(
        fx.InputError, match="code must be one of position, previous, next, saccade, following; got 'x'"
    ):
        lesion_code(graph, {}, split, "units.output", tmp_path, key=KEY, code="x")
    with pytest.raises(fx.InputError, match="share must be more than 0 and at most 1"):
        lesion_code(graph, {}, split, "units.output", tmp_path, key=KEY, share=0.0)
    with pytest.raises(fx.InputError, match="must declare a gaze"):
        lesion_code(graph.add(roles=fx.Roles()), {}, split, "units.output", tmp_path, key=KEY)


@pytest.mark.slow
def test_command_prints_codes_and_lesions(tmp_path, capsys):
    import tiny

    tiny.train(tmp_path / "run", config=tiny.named(tiny.write_npz(tmp_path / "data.npz")))
    flags = ["decode", tmp_path / "run", "--lesion", "0.25", "--randoms", "1"]
    lines = printed(capsys, *flags).splitlines()
    assert lines[0] == "what the eye's place enters: retina.fixation, classifier.fixation, saccader.position"
    names = [line.split()[0] for line in lines[2:9]]
    assert names == ["class", "position", "previous", "next", "saccade", "following", "retinal"]
    assert [line[:14].strip() for line in lines[-4:-1]] == ["intact", "best units", "random units 1"]
    assert (tmp_path / "run" / "decoding-classifier.core" / "decoding.json").is_file()
    assert "no port 'classifier.nothing' to record" in refused(capsys, *flags, "--port", "classifier.nothing")
