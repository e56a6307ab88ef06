"""The policy of a run, from one of its checkpoints."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from a2c.envs.spaces import Spaces
from a2c.errors import CheckpointError, ConfigError
from a2c.machine.device import resolve_device
from a2c.network.flat_weights import flatten_parameters
from a2c.network.making import OwnNetwork, make_network
from a2c.playing.policy import Policy
from a2c.settings.config import Config
from a2c.settings.notices import tell_once
from a2c.settings.old_values import translated
from a2c.settings.redaction import hidden_keys, leaf_settings, restored
from a2c.settings.trust import ask_for_trust, code_of_network
from a2c.settings.typed_settings import build
from a2c.storage.kept_checkpoints import open_checkpoint


def load_policy(
    target: str | Path = "latest",
    *,
    runs_dir: str | Path = "runs",
    device: str = "cpu",
    secrets: Mapping[str, Any] | None = None,
    tell: Callable[[str], object] | None = None,
    network: OwnNetwork | None = None,
    trust: bool = False,
) -> Policy:
    """Load the policy of a run from its best checkpoint, or from the one named.

    ::

        import a2c
        import numpy as np

        policy = a2c.load_policy("latest")  # or "runs/CartPole-v1/...", or ".../checkpoints/last.pt"
        action = policy.act(np.zeros(4, np.float32))  # of one observation
        actions = policy.act(np.zeros((8, 4), np.float32), deterministic=False)  # of eight, drawn at random
        print(policy.env_steps, policy.cfg.lr, policy.path)

    Args:
        target: ``latest``, a run folder (``summary.folder``), or a checkpoint file.
        runs_dir: where ``latest`` is looked up.
        device: where to run it, like ``cpu``, ``cuda:1`` or ``auto``.
        secrets: what its environment needs and no run keeps, as in ``env.kwargs``: ``{"api_key": ...}``.
        tell: called with one line if a checkpoint of the run is damaged and an older one is used; None: it goes to
            stderr.
        network: makes the network, where the run had one of your own: what ``a2c.train(cfg, network=...)`` was given.
        trust: import the modules by which the checkpoint names its network, torso or encoders.

    Returns:
        A :class:`a2c.Policy`: ``act(obs)``, ``value(obs)``, ``reset()``, ``cfg``, ``path``, ``env_steps``.

    Raises:
        CheckpointError: the checkpoint is missing, damaged or of another version of a2c, or its weights are of another
            network.
        ConfigError: the device is not there, ``secrets`` holds what the run keeps itself, or the network needs a module
            that nobody trusts, or an object that nobody gave.
    """

    def allow(cfg: Config, path: Path) -> Config:
        code = code_of_network(cfg.network)
        if network is not None:
            code.pop("network.make", None)
        if code and not trust:
            ask_for_trust(code, str(path), "load_policy(..., trust=True) allows it, network=... gives it again")
        return cfg

    return open_policy(
        target,
        runs_dir=runs_dir,
        device=device,
        secrets=secrets,
        tell=tell or tell_once,
        network=network,
        allow=allow,
    )


def open_policy(
    target: str | Path,
    *,
    allow: Callable[[Config, Path], Config],
    runs_dir: str | Path = "runs",
    device: str = "cpu",
    secrets: Mapping[str, Any] | None = None,
    tell: Callable[[str], object] = tell_once,
    network: OwnNetwork | None = None,
) -> Policy:
    """As :func:`load_policy`.

    Args:
        target, runs_dir, device, secrets, tell, network: as there.
        allow: called with the settings and the checkpoint before anything is imported; returns the settings, with code
            by the names that it now has, or raises.
    """
    on = resolve_device(device)
    path, payload = open_checkpoint(target, runs_dir, "best", tell)
    cfg = allow(config_of(payload, path), path)
    cfg.env.kwargs = _with_secrets(cfg.env.kwargs, secrets or {}, path)
    spaces = Spaces.from_dict(payload["spec"])
    if network is not None and cfg.network.make is None:
        raise ConfigError(f"{path} was trained with our own network; leave out network=")
    model = make_network(cfg, spaces, network)
    try:
        model.load_state_dict(payload["learner"]["model"])
    except RuntimeError as error:
        code = " ".join(code_of_network(cfg.network).values()) or cfg.network.make
        if code is None:
            raise
        raise CheckpointError(f"{path} holds the weights of another network than {code}: {_one_line(error)}") from error
    model = model.to(on)
    model.train(False)
    flatten_parameters(model)  # as in training: the last bits of sums depend on where in memory numbers lie
    return Policy(model, cfg, path, payload["state"]["env_steps"])


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())


def _with_secrets(kwargs: dict[str, Any], secrets: Mapping[str, Any], path: Path) -> dict[str, Any]:
    lost, own = hidden_keys(kwargs), dict(leaf_settings(kwargs))
    for key, value in leaf_settings(secrets):
        left_out = any(key == name or key.startswith(f"{name}.") for name in lost)
        if not left_out and (key not in own or own[key] != value):
            raise ConfigError(f"env.kwargs.{key} is no secret that {path} left out: the run keeps its own")
    found: dict[str, Any] = restored(kwargs, secrets)
    return found


def config_of(payload: dict[str, Any], path: Path) -> Config:
    """The settings that a checkpoint was trained with.

    Raises:
        CheckpointError: it was saved by another version of a2c, which had other settings.
    """
    try:
        return build(Config, translated(payload["config"]))
    except ConfigError as error:
        raise CheckpointError(f"{path} was saved by another version of a2c: {error}") from error
