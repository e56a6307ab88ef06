"""What the end of a run draws: curve.png and agent.gif."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from a2c.envs.foreign import users_own
from a2c.envs.seeding import FINAL_EVAL, env_seed
from a2c.errors import A2CError
from a2c.machine.processes.apart import call_apart
from a2c.playing.episode import play_episode
from a2c.playing.policy import Policy, load_policy
from a2c.run.showing.curve import draw_curve
from a2c.run.showing.gif import record_gif


def draw_results(
    folder: Path, policy: Policy | None, gif: bool, notify: Callable[[str], None]
) -> tuple[str, str | None]:
    """Draw the curve and, if asked, record an episode.

    Args:
        folder: the run folder.
        policy: the run's best checkpoint; None: no environment may be made for an episode.
        gif: whether to record an episode.
        notify: called with one line that says why there is no recording.

    Returns:
        Paths of curve.png and agent.gif; None instead of a GIF that was not asked for or could not be made.
    """
    curve = str(draw_curve(folder))
    if not gif or policy is None:
        return curve, None
    try:
        if policy.cfg.env.isolate:
            return curve, call_apart(_record_saved, folder)
        return curve, _record(policy, folder)
    except A2CError as error:
        notify(f"no agent.gif: {error}")
    except BaseException as error:  # rendering needs screens and packages that training does not
        if users_own(error):
            raise
        notify(f"no agent.gif: {policy.cfg.env.id} cannot be rendered here ({type(error).__name__}: {error})")
    return curve, None


def _record(policy: Policy, folder: Path) -> str:
    frames, fps, _ = play_episode(policy, env_seed(policy.cfg.seed, FINAL_EVAL, 0))
    return str(record_gif(frames, folder / "agent.gif", fps))


def _record_saved(folder: Path) -> str:
    return _record(load_policy(folder), folder)
