"""A run is attacked by one call and by one command, and its whole-image network is trained once."""

import json

import pytest
import tiny

from foveax.cli import main
from foveax.evaluation import attack as evaluation
from foveax.evaluation.attack_rows import rows


@pytest.mark.nightly
def test_a_run_is_attacked_by_a_command(tmp_path, monkeypatch, capsys):
    def some(config, **kind):
        made = rows(config, **kind)
        return {name: made[name] for name in ("clean", "noise of equal norm", "whole image, clean")}

    monkeypatch.setattr(evaluation, "rows", some)
    run, data = tmp_path / "run", tiny.write_npz(tmp_path / "tiny.npz")
    tiny.train(run, config=tiny.named(data), given=None)
    command = ["attack", str(run), "--images", "8", "--batch", "4"]
    main(command)
    first = (run / "attack" / "whole_image.npz").stat()
    printed = capsys.readouterr().out
    assert "noise of equal norm" in printed
    assert f"outcomes on each image are in {run / 'attack'}" in printed
    results = json.loads((run / "attack" / "attack.json").read_text())
    assert results["rows"]["clean"]["images"] == 8
    main(command)
    assert (run / "attack" / "whole_image.npz").stat() == first
    with pytest.raises(SystemExit):
        main([*command, "--epsilon", "0.2"])
    assert "folder must hold this evaluation, or none" in capsys.readouterr().err
