"""Settings as earlier versions wrote them: old values keep working, with one line that says what they are now."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from a2c.settings.notices import tell_once

# (key, old value) -> what it means now
_MEANS: dict[tuple[str, Any], dict[str, Any]] = {
    ("vectorization", "sharded"): {"vectorization": "workers", "main_shard": False},
    ("vectorization", "hybrid"): {"vectorization": "workers", "main_shard": True},
    ("compile", "auto"): {"compile": False},
}
_POLICY = {"distribution": "gaussian", "state_dependent_std": False, "sde_steps": 4}
# Keys that runs of earlier versions lack
_ADDED: dict[str, Any] = {"main_shard": None, "tf32": True, "policy": _POLICY, "stop_at": None, "log_info": []}
_ADDED |= {"value_loss": "mse", "critic_lr": None, "normalize_value": False, "ranks": 1, "rank_timeout": 300.0}
_ADDED |= {"deterministic_ranks": False}
_ADDED |= {f"{name}_schedule": "constant" for name in ("value_coef", "gae_lambda", "max_grad_norm")}
_ADDED |= {f"{name}_end": 0.0 for name in ("lr", "beta", "value_coef", "gae_lambda", "max_grad_norm")}
_ADDED_WITHIN: dict[str, dict[str, Any]] = {  # and keys of groups
    "eval": {"apart": "auto", "max_steps": 10_000},
    "checkpoint": {"keep": 3},
    "env": {"isolate": False, "restarts": 3, "masks": "off", "symbols": None, "channels": "auto"}
    | {"wrappers": [], "reset_options": {}},
    "network": {
        "memory": None,
        "memory_size": 64,
        "make": None,
        "encoders": {},
        "value_hidden_sizes": None,
        "layer_norm": "none",
        "init": "orthogonal",
    },
}
_ENV_IDS = {"a2c.device_envs:CartPoleDevice-v1": "a2c.envs.device:CartPoleDevice-v1"}


def translated(tree: Mapping[str, Any], tell: Callable[[str], Any] | None = None) -> dict[str, Any]:
    """A copy of a plain tree of settings, with today's values in place of old ones.

    Args:
        tree: nested mappings, from YAML, a command line or a checkpoint.
        tell: called with one line about each old value; None writes it to stderr, once per process.
    """
    new = {**_ADDED, **tree}
    for group, added in _ADDED_WITHIN.items():
        if isinstance(kept := new.get(group), Mapping):
            new[group] = {**added, **kept}
    if new.get("compile") in ("true", "false"):  # it used to be text
        new["compile"] = new["compile"] == "true"
    if isinstance(env := new.get("env"), Mapping) and env.get("id") in _ENV_IDS:
        new["env"] = {**env, "id": _ENV_IDS[env["id"]]}  # the same environment: nothing to say
    for (key, old), means in _MEANS.items():
        if new.get(key) == old:
            new |= {name: value for name, value in means.items() if name == key or new.get(name) is None}
            today = " ".join(f"{name}={str(new[name]).lower()}" for name in means)
            (tell or tell_once)(f"{key}={old} is now {today}")
    return new
