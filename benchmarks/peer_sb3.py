"""Steps per second of Stable-Baselines3's A2C, learning included, as one JSON line.

    python benchmarks/peer_sb3.py CartPole-v1 --num-envs 16 --n-step 5 --threads 1
    python benchmarks/peer_sb3.py ALE/Pong-v5 --vec subproc --device cuda

Its settings are Stable-Baselines3's defaults, which are also ours: RMSprop, separate 64-64 tanh networks for policy and
value, or a shared NatureCNN. Agent steps count (Atari: times 4 for frames), without making environments or the warm-up.
"""

from __future__ import annotations

import argparse
import json
import time
from typing import Any

import torch
from memory import peak_memory
from stable_baselines3 import A2C
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.env_util import make_atari_env, make_vec_env
from stable_baselines3.common.vec_env import DummyVecEnv, SubprocVecEnv, VecEnv, VecFrameStack

VEC_CLASSES: dict[str, type[DummyVecEnv] | type[SubprocVecEnv]] = {"dummy": DummyVecEnv, "subproc": SubprocVecEnv}
WARM_UP = 0.1  # of the measured time


class Clock(BaseCallback):
    """Times whole rollouts with their updates, from the end of the warm-up until the time is over."""

    def __init__(self, seconds: float) -> None:
        super().__init__()
        self.seconds, self.elapsed = seconds, 0.0
        self.steps = 0
        self._created = time.perf_counter()
        self._start: float | None = None
        self._offset = 0

    def _on_rollout_start(self) -> None:
        if self.model.device.type == "cuda":
            torch.cuda.synchronize()
        now = time.perf_counter()
        if self._start is None:
            if now >= self._created + WARM_UP * self.seconds and self.num_timesteps > 0:
                self._start, self._offset = now, self.num_timesteps
        elif now >= self._start + self.seconds:
            self.elapsed, self.steps = now - self._start, self.num_timesteps - self._offset

    def _on_step(self) -> bool:
        return not self.elapsed


def make_envs(env_id: str, num_envs: int, vec: str, seed: int) -> VecEnv:
    """Stable-Baselines3's vector environment with its own wrappers; Atari as in Mnih et al. 2015, like ours."""
    if not env_id.startswith("ALE/"):
        return make_vec_env(env_id, num_envs, seed=seed, vec_env_cls=VEC_CLASSES[vec])
    kwargs = {"frameskip": 1, "repeat_action_probability": 0.0}
    games = make_atari_env(
        f"ale_py:{env_id}",  # names the package, so that worker processes register its games too
        num_envs,
        seed=seed,
        vec_env_cls=VEC_CLASSES[vec],
        env_kwargs=kwargs,
    )
    return VecFrameStack(games, 4)


def measure(args: argparse.Namespace) -> dict[str, Any]:
    """Train for ``args.seconds`` after a warm-up; returns the speed and what it was measured with."""
    if args.threads:
        torch.set_num_threads(args.threads)
    envs = make_envs(args.env, args.num_envs, args.vec, args.seed)
    policy = "CnnPolicy" if args.env.startswith("ALE/") else "MlpPolicy"
    model = A2C(policy, envs, n_steps=args.n_step, ent_coef=0.01, seed=args.seed, device=args.device)
    clock = Clock(args.seconds)
    model.learn(10**12, callback=clock)
    envs.close()
    return {
        "peer": "stable-baselines3",
        "env": args.env,
        "num_envs": args.num_envs,
        "n_step": args.n_step,
        "vec": args.vec,
        "device": str(model.device),
        "threads": torch.get_num_threads(),
        "steps": clock.steps,
        "seconds": clock.elapsed,
        "steps_per_second": clock.steps / clock.elapsed,
        **peak_memory(),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("env", help="CartPole-v1, ALE/Pong-v5, HalfCheetah-v5, ...")
    parser.add_argument("--num-envs", type=int, default=16)
    parser.add_argument("--n-step", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=5.0, help="measured time; a tenth more warms up")
    parser.add_argument("--vec", choices=VEC_CLASSES, default="dummy")
    parser.add_argument("--threads", type=int, default=0, help="torch threads; 0 keeps torch's own choice")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--seed", type=int, default=1)
    print(json.dumps(measure(parser.parse_args())))


if __name__ == "__main__":
    main()
