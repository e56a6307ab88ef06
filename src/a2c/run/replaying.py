"""Repeat what a dump of a numeric error holds, without its environment, and point at where it began."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from a2c.envs.spaces import Spaces
from a2c.errors import CheckpointError, NumericError
from a2c.learning.first_number import Found, first_number, spelled
from a2c.learning.learner import Learner
from a2c.network.making import make_network
from a2c.playing.loading import config_of
from a2c.rollout import Rollout
from a2c.settings.config import Config
from a2c.settings.trust import ask_for_trust, code_of_network
from a2c.storage.checkpoint import load_checkpoint

_PARTS = ("config", "spec", "learner", "state", "evidence")


@dataclass(frozen=True, slots=True)
class Replay:
    """What repeating a numeric error showed."""

    error: str  # what the run said
    where: str  # in training
    sound: list[str]  # stages whose numbers are all finite
    found: str | None  # the first number that is not, and what it came from
    again: bool  # the failure came again


def _refuse_code(cfg: Config) -> None:
    ask_for_trust(code_of_network(cfg.network), "the dump")


def replay(path: Path, allow: Callable[[Config], object] = _refuse_code) -> Replay:
    """Repeat a numeric error, on the CPU.

    Args:
        path: a dump (:mod:`a2c.run.numeric_dump`).
        allow: called with its settings before a network is made; raises if that may not import what they name.

    Raises:
        CheckpointError: it is missing, damaged, or no such dump.
    """
    dump = load_checkpoint(path)
    lacking = [part for part in _PARTS if not isinstance(dump.get(part), Mapping)]
    if lacking:
        raise CheckpointError(f"{path} lacks {', '.join(lacking)}; it is no dump of a numeric error")
    try:
        evidence, state = dump["evidence"], dump["state"]
        where = f"update {state['update'] + 1:,}, after {state['env_steps']:,} steps, seed {dump['config']['seed']}"
        if "what" in evidence:
            return _of_environment(str(dump.get("error")), where, evidence)
        return _of_update(dump, where, path, allow)
    except (RuntimeError, ValueError, KeyError, TypeError, IndexError, AttributeError) as error:
        text = " ".join(str(error).split())
        raise CheckpointError(f"{path} does not fit together: {type(error).__name__}: {text}") from error


def _of_environment(error: str, where: str, evidence: Mapping[str, Any]) -> Replay:
    """An environment gave the number: there is nothing to compute."""
    value, row, env = float(evidence["value"]), evidence["row"], evidence["environment"]
    column = env - evidence["first"]
    # A reward belongs to the step that ends at this row, an observation is that of the row.
    name, t = ("rewards", row - 1) if evidence["what"] == "reward" else (f"{evidence['what']}s", row)
    action = evidence["rollout"]["actions"][row - 1, column].tolist()
    given = f"environment {env} gave it in step {evidence['step']}, for the action {action}"
    found = f"{spelled(name, (t, column, *evidence['index']))} = {value:g}; {given}"
    again = not bool(torch.tensor(value, dtype=torch.float32).isfinite())
    return Replay(error, where, [], found if again else None, again)


def _of_update(dump: Mapping[str, Any], where: str, path: Path, allow: Callable[[Config], object]) -> Replay:
    saved = config_of(dict(dump), path)
    allow(saved)
    rollout = Rollout(**dump["evidence"]["rollout"])
    steps, count = rollout.rewards.shape
    cfg = replace(saved, device="cpu", compile=False, cuda_graphs=False, n_step=steps, num_envs=count)
    learner = Learner(make_network(cfg, Spaces.from_dict(dict(dump["spec"]))), cfg)
    learner.load_state_dict(dump["learner"])
    env_steps = dump["state"]["env_steps"]
    found: Found | None
    found, sound = first_number(learner.model, learner.weights, cfg, rollout, env_steps)
    try:
        learner.update(rollout, env_steps)
        again = False
    except NumericError:
        again = True
    return Replay(str(dump.get("error")), where, sound, None if found is None else str(found), again)
