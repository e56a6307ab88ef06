"""``a2c eval``: score a trained agent."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from a2c.cli.command import NamedEnv, NamedNetwork, read_arguments
from a2c.cli.named_policy import named_policy
from a2c.collecting.preflight import check_episodes
from a2c.settings.setting import setting
from a2c.settings.shared_rules import DEVICE

USAGE = """\
Usage: a2c eval [KEY=VALUE ...]

  a2c eval run=latest episodes=20
  a2c eval run=runs/CartPole-v1/2026-01-01_12-00-00_a2c-seed1/checkpoints/last.pt seed=5

Settings:"""


@dataclass(slots=True)
class EvalCommand:
    """What to score, and how."""

    run: str = setting("latest, a run folder (its best checkpoint) or a checkpoint")
    runs_dir: str = setting("folder of all runs, where latest is looked up")
    episodes: int = setting("episodes to play", low=1)
    seed: int | None = setting("seed of the environments; null: as in the final evaluation of the run", low=0)
    deterministic: bool = setting("greedy actions; false samples them as in training")
    device: str = setting(**DEVICE)
    env: NamedEnv = setting("environment of the run")
    network: NamedNetwork = setting("network of the run")


def run(arguments: Sequence[str]) -> int:
    """Score the agent that the command line names and print the result; returns the exit code."""
    command = read_arguments(arguments, EvalCommand, "eval", USAGE)
    if command is None:
        return 0
    check_episodes(command.episodes)
    from a2c.cli.eval_progress import EvalProgress
    from a2c.envs.single.make_env import reward_threshold  # these import torch
    from a2c.playing.evaluation import evaluate

    policy = named_policy(command, arguments)
    with EvalProgress(command.episodes) as progress:
        result = evaluate(
            policy, command.episodes, seed=command.seed, deterministic=command.deterministic, ended=progress.ended
        )
    threshold = reward_threshold(policy.cfg.env.id)
    print(f"{policy.path}, {policy.cfg.env.id}, trained for {policy.env_steps:,} steps")
    print(
        f"score {result.mean:.2f} +- {result.std:.2f} over {command.episodes} episodes"
        f" (lowest {min(result.rewards):.2f}, highest {max(result.rewards):.2f})"
    )
    if cuts := result.cuts(policy.cfg.eval.max_steps):
        print(cuts)
    if threshold is not None:
        print(f"threshold {threshold:g}: {'reached' if result.mean >= threshold else 'not reached'}")
    return 0
