"""RLlib's PPO on the exported environment, its classifier learning within; in an environment of its own, with ray.

    pip install -e '.[rllib]' torch && python benchmarks/rllib_iterations.py

Prints, per iteration, the mean return of an episode, in nats that the saccades told about the label, and the time.
"""

import argparse
import time


def main() -> None:
    """Trains for some iterations."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--iterations", type=int, default=10)
    parser.add_argument("--num-envs", type=int, default=64)
    chosen = parser.parse_args()
    try:
        import ray  # pyright: ignore[reportMissingImports]
        from ray.rllib.algorithms.ppo import PPOConfig  # pyright: ignore[reportMissingImports]
    except ModuleNotFoundError as error:
        raise SystemExit(f"skipped: RLlib is not installed ({error.name})") from None

    from foveax.environments.rllib import with_environment

    ray.init(include_dashboard=False, log_to_driver=False)
    once = 5 * chosen.num_envs  # steps of an episode each
    algorithm = (
        with_environment(
            PPOConfig(), num_envs=chosen.num_envs, config={"task": "translated", "pipeline": {"crop_size": 12}}
        )
        .training(train_batch_size_per_learner=8 * once, minibatch_size=once, num_epochs=4, gamma=0.5, lambda_=0.84)
        .build_algo()
    )
    started = time.perf_counter()
    for iteration in range(chosen.iterations):
        result = algorithm.train()["env_runners"]
        seconds = time.perf_counter() - started
        steps, length = result["num_env_steps_sampled_lifetime"], result["episode_len_mean"]
        report = f"return {result['episode_return_mean']:.3f}, length {length:.1f}"
        print(f"iteration {iteration + 1}: {report}, {steps:.0f} steps in {seconds:.0f} s", flush=True)
    algorithm.stop()


if __name__ == "__main__":
    main()
