"""Play one episode for somebody to watch."""

from __future__ import annotations

import os
import sys

import numpy as np

from a2c.envs.single.checked import make_checked
from a2c.playing.policy import Policy

MAX_STEPS = 3000  # of the episode, should it not end before


def play_episode(policy: Policy, seed: int, render_mode: str = "rgb_array") -> tuple[list[np.ndarray], float, float]:
    """Play one greedy episode.

    Args:
        policy: from :func:`a2c.load_policy`.
        seed: of the environment.
        render_mode: ``rgb_array`` keeps the frames; ``human`` opens a window and keeps none.

    Returns:
        Frames ``[H, W, 3]`` uint8, frames per second, and the raw return.

    Raises:
        EnvironmentFailure, NumericError: the environment raised or broke its contract.
        Exception: it cannot be rendered here.
    """
    if render_mode == "rgb_array" and sys.platform == "linux" and not _has_screen():
        os.environ.setdefault("SDL_VIDEODRIVER", "dummy")  # else SDL complains that there is no screen
    env = make_checked(policy.cfg.env, "the environment", render_mode=render_mode)
    frames: list[np.ndarray] = []
    score = 0.0
    try:
        policy.reset()
        obs, _ = env.reset(seed=seed)
        for _ in range(MAX_STEPS):
            if render_mode == "rgb_array":
                frames.append(np.asarray(env.render()))
            obs, reward, terminated, truncated, _ = env.step(policy.choose(obs))
            score += float(reward)
            if terminated or truncated:
                break
        fps = float(env.metadata.get("render_fps") or 30)
        atari = policy.cfg.env.atari
        return (
            frames,
            fps / atari.frame_skip if policy.model.spaces.image and "ALE/" in policy.cfg.env.id else fps,
            score,
        )
    finally:
        env.close()


def _has_screen() -> bool:
    return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))
