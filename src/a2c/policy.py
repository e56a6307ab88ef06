"""A trained policy, to act in any loop."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch

from a2c.checkpoint import find_checkpoint, load_checkpoint
from a2c.config import Config
from a2c.device import resolve_device
from a2c.errors import CheckpointError, ConfigError
from a2c.model import ActorCritic
from a2c.records import build
from a2c.spec import Spec


class Policy:
    """Acts on numpy observations.

    Attributes:
        cfg: the settings that it was trained with.
        path: the checkpoint it came from, if any.
        env_steps: transitions it was trained on.
    """

    def __init__(self, model: ActorCritic, cfg: Config, path: Path | None = None, env_steps: int = 0) -> None:
        self.model, self.cfg, self.path, self.env_steps = model, cfg, path, env_steps
        self._device = next(model.parameters()).device
        self._generator = torch.Generator().manual_seed(cfg.seed)

    def act(self, obs: Any, deterministic: bool = True) -> np.ndarray:
        """Action for one observation ``[*obs]``, or for a batch ``[B, *obs]``.

        Args:
            obs: as the environment gives it (after the wrappers of :func:`a2c.envs.make_env`).
            deterministic: the mode of the distribution; False draws a sample.

        Returns:
            What ``env.step`` takes: an integer or ``[D]``, with a leading ``B`` for a batch.

        Raises:
            ValueError: the observation has another shape than in training.
        """
        batch, single = self._batch(obs)
        with torch.inference_mode():
            params = self.model.policy(batch)
            if deterministic:
                action = self.model.distribution.mode(params)
            else:
                distribution = self.model.distribution
                uniform = torch.rand(len(batch), distribution.noise_size, generator=self._generator)
                uniform = uniform.clamp(2.0**-24, 1 - 2.0**-24).to(self._device)
                action = distribution.sample(params, distribution.noise(uniform))
        actions = self.model.spec.at_door(action.cpu().numpy())
        return actions[0] if single else actions

    def value(self, obs: Any) -> np.ndarray:
        """V of an observation ``[*obs]``, or of a batch ``[B, *obs]`` -> ``[B]``, in the units of training rewards.

        Raises:
            ValueError: as in :meth:`act`.
        """
        batch, single = self._batch(obs)
        with torch.inference_mode():
            values = self.model.value(batch).cpu().numpy()
        return values[0] if single else values

    def _batch(self, obs: Any) -> tuple[torch.Tensor, bool]:
        """``[B, *obs]`` on the device, and whether it was a single observation."""
        spec = self.model.spec
        array = np.array(obs, spec.obs_dtype)  # a copy: torch takes neither read-only nor flipped arrays
        single = array.shape == spec.obs_shape
        if not single and array.shape[1:] != spec.obs_shape:
            raise ValueError(f"observation has shape {array.shape}; the policy takes {spec.obs_shape} or a batch of it")
        return torch.from_numpy(array[None] if single else array).to(self._device), single


def load_policy(target: str | Path = "latest", *, runs_dir: str | Path = "runs", device: str = "cpu") -> Policy:
    """The policy of a run: its best checkpoint, or the one named.

    Args:
        target: ``latest``, a run folder, or a checkpoint file.
        runs_dir: where ``latest`` is looked up.
        device: where to run it, like ``cpu``, ``cuda:1`` or ``auto``.

    Raises:
        CheckpointError: missing or damaged.
        ConfigError: the device is not there.
    """
    on = resolve_device(device)
    path = find_checkpoint(target, runs_dir)
    payload = load_checkpoint(path)
    cfg = config_of(payload, path)
    spec = Spec.from_dict(payload["spec"])
    model = ActorCritic(spec, cfg.network, normalize_obs=cfg.normalize_obs, precision=cfg.precision)
    model.load_state_dict(payload["learner"]["model"])
    return Policy(model.to(on).eval(), cfg, path, payload["state"]["env_steps"])


def config_of(payload: dict[str, Any], path: Path) -> Config:
    """The settings that a checkpoint was trained with.

    Raises:
        CheckpointError: another version of a2c knew other settings.
    """
    try:
        return build(Config, payload["config"])
    except ConfigError as error:
        raise CheckpointError(f"{path} was saved by another version of a2c: {error}") from error


def checkpoint_payload(cfg: Config, spec: Spec, learner: dict[str, Any], **rest: Any) -> dict[str, Any]:
    """What a checkpoint holds: the settings, the spec, the learner's state, and what a loop adds."""
    return {"config": asdict(cfg), "spec": spec.to_dict(), "learner": learner, **rest}
