"""Dumps of numeric errors: all that it takes to repeat one, as plain data in the run folder.

``a2c replay DUMP`` reads them (:mod:`a2c.learning.replay`).
"""

from __future__ import annotations

import os
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from a2c.errors import A2CError, NumericError, RunIOError
from a2c.learning.first_number import first_number
from a2c.learning.kept_rollout import copied
from a2c.learning.learner import Learner
from a2c.maths.trees import tree_map
from a2c.rollout import Rollout
from a2c.run.checkpoints import Actors
from a2c.run.state import TrainState
from a2c.settings.config import Config
from a2c.settings.redaction import redact
from a2c.storage.checkpoint import frozen, save_checkpoint

DUMPED = "dumped"  # key of the evidence of an error of training whose dump is written


def blame(error: A2CError, actors: Actors) -> None:
    """Name the environment in the error of a refused update, if one gave a number that is not finite.

    Environments on the device are not checked at every step. Of those on the host the error says so by itself.
    """
    if not isinstance(error, NumericError) or "env_steps" not in (error.evidence or {}):
        return
    try:
        actors.metrics()
    except NumericError as named:
        error.args = (
            f"{named.args[0]}; the update after {(error.evidence or {})['env_steps']:,} steps was not applied",
        )


def last_sound(error: A2CError, learner: Learner, state: TrainState) -> TrainState | None:
    """Where the weights are after a failure of training; None where nothing is to be saved.

    Nothing is after a numeric error without evidence: it is of an evaluation, which has saved what there is, or the
    weights themselves are not finite. One without a rollout gets that of an update that was refused before it.

    Args:
        error: the failure.
        learner: asked whether an update was refused that nobody has noticed yet.
        state: where training is, as the loop counts.
    """
    own = (error.evidence or {}) if isinstance(error, NumericError) else {}
    refused = learner.refused()
    found = own if refused is None else refused.evidence or {}
    if isinstance(error, NumericError):
        if not {"rollout", DUMPED} & {*own, *found}:
            return None
        error.evidence = own if "rollout" in own else found
    counted = found.get("counted", 0)
    return TrainState(found["env_steps"], state.update - counted) if counted else state


def at_fault(error: NumericError, learner: Learner) -> bool:
    """Whether an update was refused for its own rollout: of several ranks all refuse what one of them must.

    Args:
        error: of the refusal.
        learner: that refused it; its gradient is overwritten.
    """
    evidence, device = error.evidence or {}, learner.weights.device
    rollout = copied(Rollout(**evidence["rollout"]), lambda part: part.to(device))
    found, _ = first_number(learner.model, learner.weights, learner.cfg, rollout, evidence["env_steps"])
    return found is not None


def dump(error: A2CError, cfg: Config, learner: Learner, state: TrainState, folder: Path, suffix: str = "") -> None:
    """After a numeric error, write ``numeric-<env steps>.pt`` into a run folder, and into the error how to look at it.

    It holds the rollout, or what there is of it, the weights and the optimizer before it, settings and counters. The
    error keeps no tensors: it may have to travel to another process.

    Args:
        error: with its evidence.
        cfg: the settings; secrets in them are hidden in the dump.
        learner: whose weights are those of before.
        state: where they are in training.
        folder: of the run.
        suffix: of the name.
    """
    if not isinstance(error, NumericError):
        return
    evidence, error.evidence = error.evidence or {}, {DUMPED: True}
    if "rollout" not in evidence:
        return
    path = folder / f"numeric-{state.env_steps}{suffix}.pt"
    payload = {
        "config": redact(asdict(cfg)),
        "spec": learner.model.spaces.to_dict(),
        "learner": learner.state_dict(),
        "state": asdict(state),
        "error": str(error),
        "evidence": evidence,
    }
    try:
        save_checkpoint(path, _plain(frozen(payload)))
    except RunIOError as failed:
        error.add_note(str(failed))
    else:
        error.args = (f"{error.args[0]}; to see where it began: a2c replay {os.path.relpath(path)}",)


def _plain(value: Any) -> Any:
    """With tensors in the place of arrays."""
    return tree_map(lambda leaf: torch.as_tensor(leaf) if hasattr(leaf, "__array__") else leaf, value)
