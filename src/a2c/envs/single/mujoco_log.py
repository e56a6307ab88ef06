"""MuJoCo's warnings: once in the log of the run, not on the console of every process that makes an environment."""

from __future__ import annotations

import logging

from gymnasium.envs.registration import EnvSpec

log = logging.getLogger("a2c")
_said: set[str] = set()


def log_warnings(spec: EnvSpec) -> None:
    """If this environment runs on MuJoCo, keep its warnings from the console and from a MUJOCO_LOG.TXT.

    Args:
        spec: the environment's registration; where MuJoCo is missing, making the environment says so.
    """
    if not str(spec.entry_point).startswith("gymnasium.envs.mujoco"):
        return
    try:
        import mujoco
    except Exception:
        return
    if hasattr(mujoco, "set_mju_user_warning"):
        mujoco.set_mju_user_warning(_note)


def _note(text: str) -> None:
    if text not in _said:
        _said.add(text)
        log.info("MuJoCo: %s", text)
