# pyright: reportMissingImports=false
"""foveax's attacks next to pyautoattack's, on the same networks and images, in turn, in one run.

    pip install torch pyautoattack h5py
    PYTHONPATH=tests python benchmarks/attack_parity.py

Two networks in JAX and in PyTorch on the same weights: the small one of the tests (`small_network`), and the one of
MNIST that pyautoattack ships (`shipped_network`); 1,000 bundled test digits. Budgets are pyautoattack's: 100 steps,
five restarts of APGD-CE and APGD-DLR, nine targets of APGD-T, 1,000 queries of Square; the ensemble is its standard
version with as many queries. PyTorch judges all images. Prints each case and writes
``benchmarks/results/attack_parity.json``.
"""

import argparse
import json
import time
from typing import Any, NamedTuple

import jax
import numpy as np
import shipped_network
import small_network
from timing import RESULTS, write_results

from foveax.robustness import (
    apgd,
    attack_in_turn,
    autoattack,
    dlr,
    l2,
    linf,
    misclassification,
)

IMAGES, STEPS, QUERIES, BATCH = 1_000, 100, 1_000, 250
OUR_BATCH = 125
"""Of foveax, whose attacks end where they succeeded on a whole batch; PyTorch gains by larger ones."""
NETWORKS = {"small": small_network, "shipped": shipped_network}
BALLS = {"Linf": linf, "L2": l2}
EPSILON = {("small", "Linf"): 0.12, ("small", "L2"): 1.5, ("shipped", "Linf"): 0.1, ("shipped", "L2"): 1.5}
ATTACKS = ("apgd-ce", "apgd-dlr", "apgd-t", "square", "ensemble")
CASES = [("small", norm, attack) for norm in BALLS for attack in ATTACKS]
CASES += [("shipped", "Linf", attack) for attack in ATTACKS]
OURS = {"apgd-ce": "APGD-CE", "apgd-t": "APGD-T", "square": "Square"}
RESTARTS = 5


class Attacked(NamedTuple):
    """Images that were attacked, ``[N, 28, 28, 1]``, and its seconds without compilation."""

    images: np.ndarray
    seconds: float


def ours(network: str, norm: str, name: str, images: Any, labels: Any, seed: int) -> Attacked:
    """An attack of foveax."""
    module, ball, epsilon = NETWORKS[network], BALLS[norm], EPSILON[network, norm]
    params = module.weights()

    def logits(image: Any, key: Any) -> Any:
        return module.logits(params, image)

    def ratio(image: Any, label: Any, key: Any) -> Any:
        return apgd(misclassification(logits, label, dlr), image, key, ball=ball(epsilon), steps=STEPS)

    attacks = autoattack(logits, 10, epsilon=epsilon, ball=ball, steps=STEPS, queries=QUERIES) | {"APGD-DLR": ratio}
    if name == "ensemble":
        attacks.pop("APGD-DLR")
    else:
        attack = attacks[OURS.get(name, "APGD-DLR")]
        restarts = RESTARTS if name in ("apgd-ce", "apgd-dlr") else 1
        attacks = {"clean": attacks["clean"], **{f"restart {number}": attack for number in range(restarts)}}
    key = jax.random.key(seed)
    attack_in_turn(
        attacks, images[:OUR_BATCH], labels[:OUR_BATCH], key, batch=OUR_BATCH
    )  # compiles, as far as images are left
    start = time.perf_counter()
    changed = attack_in_turn(attacks, images, labels, key, batch=OUR_BATCH).images
    return Attacked(changed, time.perf_counter() - start)


def theirs(network: str, norm: str, name: str, images: Any, labels: Any, seed: int) -> Attacked:
    """An attack of pyautoattack."""
    import pyautoattack
    import torch

    model = NETWORKS[network].torch_network(NETWORKS[network].weights())
    options: dict[str, Any] = (
        {"version": "standard"} if name == "ensemble" else {"version": "custom", "attacks": [name]}
    )
    options |= {"norm": norm, "eps": EPSILON[network, norm], "seed": seed}
    judge = pyautoattack.AutoAttack(model, **options)
    judge.square.n_queries = QUERIES
    judge.square.rescale_schedule = True
    judge.verbose = False
    given = torch.from_numpy(np.array(images)).permute(0, 3, 1, 2).contiguous(), torch.from_numpy(labels).long()
    start = time.perf_counter()
    changed, _ = judge.run_standard_evaluation(*given, batch_size=BATCH)
    return Attacked(changed.permute(0, 2, 3, 1).numpy(), time.perf_counter() - start)


def stands(network: str, norm: str, changed: np.ndarray, images: Any, labels: Any) -> np.ndarray:
    """Whether each image stays classified as it is; refuses changes beyond the ball or the range."""
    import torch

    delta = (changed - np.array(images)).reshape(len(images), -1)
    sizes = np.abs(delta).max(1) if norm == "Linf" else np.sqrt((delta**2).sum(1))
    if sizes.max() > EPSILON[network, norm] * (1 + 1e-4) or changed.min() < 0 or changed.max() > 1:
        raise AssertionError(f"changes must stay in the ball and in [0, 1]; got {sizes.max()}")
    with torch.no_grad():
        logits = NETWORKS[network].torch_network(NETWORKS[network].weights())(
            torch.from_numpy(np.array(changed)).permute(0, 3, 1, 2)
        )
    return logits.argmax(1).numpy() == labels


def compared(network: str, norm: str, name: str, number: int = IMAGES, seed: int = 0) -> dict[str, Any]:
    """Robust accuracies, %, of ours and theirs; images that one of both breaks; images/s of ours over theirs."""
    images, labels = (np.array(array) for array in small_network.images_and_labels(number))
    mine, other = (attack(network, norm, name, images, labels, seed) for attack in (ours, theirs))
    left, left_by_them = (stands(network, norm, one.images, images, labels) for one in (mine, other))
    return {
        "network": network,
        "norm": norm,
        "epsilon": EPSILON[network, norm],
        "attack": name,
        "images": number,
        "foveax": 100 * float(left.mean()),
        "pyautoattack": 100 * float(left_by_them.mean()),
        "only foveax breaks": int((left_by_them & ~left).sum()),
        "only pyautoattack breaks": int((left & ~left_by_them).sum()),
        "speed": other.seconds / mine.seconds,
    }


def main() -> None:
    """Compares, prints, writes."""
    import torch

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--networks", nargs="+", choices=NETWORKS, default=list(NETWORKS))
    parser.add_argument("--attacks", nargs="+", choices=ATTACKS, default=list(ATTACKS))
    parser.add_argument("--norms", nargs="+", choices=BALLS, default=list(BALLS))
    parser.add_argument("--images", type=int, default=IMAGES, help="at most 1,000; fewer are printed only")
    parser.add_argument("--seed", type=int, default=0, help="of both; those other than 0 are printed only")
    parser.add_argument("--threads", type=int, default=0, help="of PyTorch; by default as many as it takes")
    chosen = parser.parse_args()
    if chosen.threads:
        torch.set_num_threads(chosen.threads)
    path = RESULTS / "attack_parity.json"
    cases = json.loads(path.read_text())["cases"] if path.exists() else []
    for network, norm, attack in CASES:
        if network not in chosen.networks or norm not in chosen.norms or attack not in chosen.attacks:
            continue
        case = compared(network, norm, attack, chosen.images, chosen.seed)
        case["PyTorch's threads"] = torch.get_num_threads()
        figures = (
            f"{case['foveax']:.1f} %, pyautoattack {case['pyautoattack']:.1f} %, {case['speed']:.1f} times as fast"
        )
        print(f"{network} {norm} {attack}: {figures}", flush=True)
        if chosen.seed or chosen.images != IMAGES:
            continue
        same = ("network", "norm", "attack")
        cases = [one for one in cases if any(one[name] != case[name] for name in same)] + [case]
        write_results("attack_parity", {"cases": cases})


if __name__ == "__main__":
    main()
