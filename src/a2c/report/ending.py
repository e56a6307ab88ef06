"""What the end of a run draws: curve.png and agent.gif."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np

from a2c.config import Config
from a2c.envs import make_env
from a2c.envs.seeding import FINAL_EVAL, env_seed
from a2c.errors import A2CError
from a2c.policy import Policy
from a2c.report.plots import draw_curve
from a2c.report.video import record_gif

MAX_STEPS = 3000  # of the recorded episode


def draw_results(folder: Path, policy: Policy, cfg: Config, notify: Callable[[str], None]) -> tuple[str, str | None]:
    """Draw the curve and, if asked, record an episode.

    Returns:
        Paths of curve.png and agent.gif; None for a GIF that was not asked for or, as ``notify`` says, not possible.
    """
    curve = str(draw_curve(folder))
    if not cfg.gif:
        return curve, None
    try:
        frames, fps, _ = play_episode(policy, env_seed(cfg.seed, FINAL_EVAL, 0))
        return curve, str(record_gif(frames, folder / "agent.gif", fps))
    except A2CError as error:
        notify(f"no agent.gif: {error}")
    except Exception as error:  # rendering needs screens and packages that training does not
        notify(f"no agent.gif: {cfg.env.id} cannot be rendered here ({type(error).__name__}: {error})")
    return curve, None


def play_episode(policy: Policy, seed: int, render_mode: str = "rgb_array") -> tuple[list[np.ndarray], float, float]:
    """Play one greedy episode.

    Args:
        render_mode: ``rgb_array`` keeps the frames; ``human`` opens a window and keeps none.

    Returns:
        Frames ``[H, W, 3]`` uint8, frames per second, and the raw return.
    """
    if render_mode == "rgb_array" and sys.platform == "linux" and not _has_screen():
        os.environ.setdefault("SDL_VIDEODRIVER", "dummy")  # else SDL looks for a screen, and says what it misses
    env = make_env(policy.cfg.env, render_mode=render_mode)
    frames: list[np.ndarray] = []
    score = 0.0
    try:
        obs, _ = env.reset(seed=seed)
        for _ in range(MAX_STEPS):
            if render_mode == "rgb_array":
                frames.append(np.asarray(env.render()))
            obs, reward, terminated, truncated, _ = env.step(policy.act(obs))
            score += float(reward)
            if terminated or truncated:
                break
        fps = float(env.metadata.get("render_fps") or 30)
        atari = policy.cfg.env.atari
        return frames, fps / atari.frame_skip if policy.model.spec.image and "ALE/" in policy.cfg.env.id else fps, score
    finally:
        env.close()


def _has_screen() -> bool:
    return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))
