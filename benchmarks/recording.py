"""Recording of 10,000 images x 12 fixations x 4 steps of 256 units: memory, speed, and a kill on the way.

    TFDS_DATA_DIR=DIR python benchmarks/recording.py FOLDER

One process records without a stop. Another is killed, by SIGKILL, once a third of the images is written, and begun
again. Printed are seconds, the memory that the process took while it recorded beyond what it took before, and whether
the files are the same to the byte.
"""

import hashlib
import json
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

IMAGES, GLIMPSES, STEPS, UNITS = 10_000, 12, 4, 256
PORT = "classifier.gap_by_step"


def record(folder: Path) -> None:
    """Records the test images of MNIST with an untrained network of areas."""
    import jax

    import foveax as fx
    from foveax.analysis import record_activations
    from foveax.networks.recurrent_convolutional import ccn23

    data = fx.load("mnist")
    config = fx.PipelineConfig(glimpses=GLIMPSES, crop_size=9, contrast=False)
    network = ccn23("BL", classes=10, channels=(4, 8, 16, 32, UNITS), internal_steps=STEPS)
    graph = fx.standard_pipeline(data, config).unlink("classifier.fixation")
    graph = fx.greedy(graph.swap("classifier", fx.from_linen_cell(network)))
    params = fx.init(graph, jax.random.key(0))
    before, start = _peak(), time.monotonic()
    ports = [PORT, "memory.fixation", "input.label"]
    arrays = record_activations(graph, params, data.test, ports, folder, key=jax.random.key(1))
    shape = arrays[PORT].shape
    assert shape == (IMAGES, GLIMPSES, STEPS, 1, 1, UNITS), shape
    seconds, more = time.monotonic() - start, _peak() - before
    print(f"{seconds:.0f} s, {more:.0f} MB more than before, {arrays[PORT].nbytes / 1e6:.0f} MB recorded", flush=True)


def main(folder: Path) -> None:
    """Records once without a stop, and once with a kill, and compares."""
    command = [sys.executable, __file__, "--child"]
    subprocess.run([*command, str(folder / "whole")], check=True)
    child = subprocess.Popen([*command, str(folder / "killed")])
    written = folder / "killed" / "recording.json"
    while not (written.exists() and json.loads(written.read_text())["recorded"] >= IMAGES // 3):
        time.sleep(0.05)
    child.send_signal(signal.SIGKILL)
    child.wait()
    print(f"killed after {json.loads(written.read_text())['recorded']} images")
    subprocess.run([*command, str(folder / "killed")], check=True)
    print("the same bytes" if _digests(folder / "whole") == _digests(folder / "killed") else "OTHER BYTES")


def _digests(folder: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(folder.iterdir())}


def _peak() -> float:
    """The most memory that this process has taken, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    record(Path(sys.argv[2])) if sys.argv[1] == "--child" else main(Path(sys.argv[1]))
