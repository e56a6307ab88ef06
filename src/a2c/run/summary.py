"""The facts that a run shows at its start, and the summary that it leaves at its end."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch

from a2c.envs.single.make_env import reward_threshold
from a2c.errors import RunIOError
from a2c.learning.learner import Learner
from a2c.machine.device import describe_device
from a2c.network.protocol import remembers
from a2c.playing.evaluation import EvalResult
from a2c.playing.policy import Policy
from a2c.run.state import Tally, TrainState
from a2c.run.timing.stopwatch import Ending
from a2c.settings.config import Config
from a2c.storage.atomic import write_text

_FILE = "summary.json"


@dataclass(frozen=True, slots=True)
class Summary:
    """The results of a run; ``summary.json`` holds the same."""

    env_id: str
    algo: str
    seed: int
    device: str
    num_envs: int
    n_step: int
    env_steps: int
    updates: int
    episodes: int
    wall_time: float  # seconds, over all sessions of training
    fps: float  # env steps per second of wall time, evaluations included
    eval_mean: float | None  # of the best checkpoint, over eval_episodes fresh episodes; None if stopped early
    eval_std: float | None
    eval_episodes: int  # 0: evaluation is off
    eval_cut: int | None  # of those, how many eval.max_steps cut
    best_eval: float | None  # the score that chose the best checkpoint
    best_step: int | None  # the env steps that it was trained for; None as eval_mean
    reward_threshold: float | None
    solved: bool | None
    folder: str
    best_checkpoint: str | None
    last_checkpoint: str
    curve: str | None
    gif: str | None
    stopped: str | None  # the signal that ended it early
    wandb_id: str | None
    time: dict[str, float]  # shares of this session's training: env, transfer, act, update, eval, other
    advice: list[str]  # what would make it faster
    trace: str | None  # the file of profile=true
    ended: str | None = None  # why training was over before total_steps: stop_at, or a callback

    def with_scores(self, scores: EvalResult, scored: Policy) -> Summary:
        """A copy with the scores of the final evaluation, and the checkpoint that they are of."""
        best = None if scored.path is None else str(Path(self.folder) / "checkpoints" / scored.path.name)
        solved = None if self.reward_threshold is None else scores.mean >= self.reward_threshold
        found = replace(self, eval_mean=scores.mean, eval_std=scores.std, solved=solved, eval_cut=scores.cut)
        return replace(found, best_checkpoint=best, best_step=scored.env_steps)

    @classmethod
    def read(cls, folder: Path) -> Summary | None:
        """The results in a run folder; None where there are none, or not as this version writes them."""
        try:
            return cls(**json.loads((folder / _FILE).read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError):
            return None

    def write(self) -> None:
        """Write ``summary.json`` into the run folder; raises :class:`RunIOError`."""
        path = Path(self.folder) / _FILE
        try:
            write_text(path, json.dumps(_finite(asdict(self)), indent=2, allow_nan=False) + "\n")
        except OSError as error:
            raise RunIOError(f"cannot write {path}: {error.strerror or error}") from error


def summarize(
    cfg: Config,
    state: TrainState,
    tally: Tally,
    folder: Path,
    ending: Ending,
    *,
    device: torch.device,
    stopped: str | None,
    wandb_id: str | None,
) -> Summary:
    """The summary of a run that has not been scored yet.

    Args:
        cfg, state, tally, folder: of the run.
        ending: what its stopwatch says.
        device: what it trained on.
        stopped: the signal that ended it early.
        wandb_id: id of its W&B run.
    """
    best, last = (folder / "checkpoints" / f"{name}.pt" for name in ("best", "last"))
    return Summary(
        env_id=cfg.env.id,
        algo=cfg.algo,
        seed=cfg.seed,
        device=str(device),
        num_envs=cfg.num_envs,
        n_step=cfg.n_step,
        env_steps=state.env_steps,
        updates=state.update,
        fps=state.env_steps / max(tally.wall_time, 1e-9),
        eval_mean=None,
        eval_std=None,
        eval_episodes=cfg.eval.final_episodes if cfg.eval.episodes else 0,
        eval_cut=None,
        best_step=None,
        reward_threshold=reward_threshold(cfg.env.id),
        solved=None,
        folder=str(folder),
        best_checkpoint=str(best) if best.exists() else None,
        last_checkpoint=str(last),
        curve=None,
        gif=None,
        stopped=stopped,
        wandb_id=wandb_id,
        **asdict(tally),
        **asdict(ending),
    )


def start_facts(cfg: Config, learner: Learner, folder: Path, environments: Mapping[str, str]) -> dict[str, str]:
    """The lines of the start panel; ``environments`` holds those about what steps the environments."""
    return {
        **learner.model.spaces.facts(),
        "network": learner.model.describe(),
        **({"memory": reach(cfg)} if remembers(learner.model) else {}),
        "algorithm": cfg.algo.upper(),
        "rollout": f"{cfg.num_envs} environment{'s' * (cfg.num_envs > 1)} x {cfg.n_step} step{'s' * (cfg.n_step > 1)}",
        "learning": learning(cfg),
        "standardised": standardised(cfg),
        **environments,
        "device": describe_device(learner.weights.device),
        "steps": f"{cfg.total_steps:,}",
        "seed": str(cfg.seed),
        "folder": os.path.relpath(folder),
    }


def learning(cfg: Config) -> str:
    """By which coefficients it learns."""
    falls = f", {cfg.lr_schedule} to {cfg.lr_end:g}" if cfg.lr_schedule in ("linear", "cosine") else ""
    clipped = "" if cfg.max_grad_norm is None else f", gradients clipped at {cfg.max_grad_norm:g}"
    weights = f"gamma {cfg.gamma:g}, gae_lambda {cfg.gae_lambda:g}, beta {cfg.beta:g}, value_coef {cfg.value_coef:g}"
    return f"{cfg.optimizer} at {cfg.lr:g}{falls}{clipped}; {weights}"


def standardised(cfg: Config) -> str:
    """What is standardised before the network sees it, or learns from it."""
    kinds = {"observations": cfg.normalize_obs, "rewards": cfg.normalize_reward, "advantages": cfg.normalize_advantage}
    return ", ".join(name for name, on in (kinds | {"values": cfg.normalize_value}).items() if on) or "nothing"


def reach(cfg: Config) -> str:
    """How far back a memory learns."""
    back = f"{cfg.n_step} step{'s' * (cfg.n_step > 1)}"
    return f"learns {back} back at most, to the beginning of a rollout (n_step); it remembers further"


def _finite(value: Any) -> Any:
    """A plain value for JSON, which knows no NaN: null in its place."""
    if isinstance(value, dict):
        return {key: _finite(part) for key, part in value.items()}
    return None if isinstance(value, float) and not math.isfinite(value) else value
