"""``a2c watch``: see a trained agent play."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from a2c.cli.command import NamedEnv, NamedNetwork, read_arguments
from a2c.cli.named_policy import named_policy
from a2c.errors import A2CError, EnvironmentFailure
from a2c.settings.setting import setting
from a2c.settings.shared_rules import DEVICE
from a2c.storage.folders import run_of

USAGE = """\
Usage: a2c watch [KEY=VALUE ...]

  a2c watch run=latest                  writes watch.gif into the run folder
  a2c watch run=latest render=human     opens a window; Ctrl-C closes it

Settings:"""


@dataclass(slots=True)
class WatchCommand:
    """What to watch, and how."""

    run: str = setting("latest, a run folder (its best checkpoint) or a checkpoint")
    runs_dir: str = setting("folder of all runs, where latest is looked up")
    render: str = setting("a GIF, or a window on the screen", choices=("gif", "human"))
    episodes: int = setting("episodes to play; a GIF shows them one after the other", low=1)
    seed: int = setting("seed of the first episode; each further one takes the next seed", low=0, high=2**31 - 1)
    output: str | None = setting("file of the GIF; null: watch.gif in the run folder, or beside a checkpoint of none")
    device: str = setting(**DEVICE)
    env: NamedEnv = setting("environment of the run")
    network: NamedNetwork = setting("network of the run")


def run(arguments: Sequence[str]) -> int:
    """Play episodes with the agent that the command line names; returns the exit code."""
    command = read_arguments(arguments, WatchCommand, "watch", USAGE)
    if command is None:
        return 0
    if command.render == "human":
        _ask_for_a_screen()
    from a2c.playing.episode import play_episode  # it imports torch
    from a2c.run.showing.gif import record_gif

    policy = named_policy(command, arguments)
    frames, fps = [], 30.0
    for episode in range(command.episodes):
        try:
            played, fps, score = play_episode(
                policy, command.seed + episode, "rgb_array" if command.render == "gif" else "human"
            )
        except A2CError:
            raise
        except Exception as error:  # rendering needs screens and packages that training does not
            raise EnvironmentFailure(
                f"{policy.cfg.env.id} cannot be shown here ({type(error).__name__}: {error})"
            ) from error
        frames += played
        print(f"episode {episode + 1}: score {score:.2f}")
    if command.render == "gif":
        assert policy.path is not None
        folder = run_of(command.run, command.runs_dir) or policy.path.parent
        print(record_gif(frames, Path(command.output or folder / "watch.gif"), fps))
    return 0


def _ask_for_a_screen() -> None:
    """Refuse to play where nobody could see it: SDL would go on without a screen, and say nothing.

    Raises:
        EnvironmentFailure: there is no screen here.
    """
    if sys.platform != "linux":
        return
    driver = os.environ.get("SDL_VIDEODRIVER", "")
    if driver in ("dummy", "offscreen"):
        why = f"SDL_VIDEODRIVER={driver} shows nothing"
    elif driver or os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"):
        why = _sdl_without_a_screen()
    else:
        why = "neither DISPLAY nor WAYLAND_DISPLAY is set"
    if why:
        raise EnvironmentFailure(f"render=human needs a screen, and there is none here: {why}; leave it out for a GIF")


def _sdl_without_a_screen() -> str:
    """Why SDL finds no screen although one is named; empty where it finds one, or is not installed."""
    os.environ.setdefault("PYGAME_HIDE_SUPPORT_PROMPT", "1")  # as Gymnasium does
    try:
        import pygame
    except ImportError:
        return ""
    try:
        pygame.display.init()
        driver = pygame.display.get_driver()
        pygame.display.quit()
    except pygame.error as error:
        return str(error)
    return f"SDL uses its driver '{driver}', which shows nothing" if driver in ("dummy", "offscreen") else ""
