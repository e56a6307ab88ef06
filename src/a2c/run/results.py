"""What the end of a run makes: its final score, curve.png and agent.gif."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from a2c.envs.foreign import users_own
from a2c.envs.seeding import FINAL_EVAL, env_seed
from a2c.errors import A2CError
from a2c.machine.processes.apart import call_apart
from a2c.machine.processes.foreign_code import GaveUpError, of_others
from a2c.network.making import OwnNetwork
from a2c.playing.episode import play_episode
from a2c.playing.loading import load_policy, open_policy
from a2c.playing.policy import Policy
from a2c.run.evaluators import Evaluators
from a2c.run.showing.curve import draw_curve
from a2c.run.showing.gif import record_gif
from a2c.run.summary import Summary
from a2c.settings.config import Config, EnvConfig
from a2c.settings.trust import with_code_of


def with_results(
    summary: Summary,
    evaluators: Evaluators,
    cfg: Config,
    folder: Path,
    notify: Callable[[str], None],
    network: OwnNetwork | None = None,
) -> Summary:
    """The summary of a run with the score of its best checkpoint, its curve and its GIF.

    Args:
        summary: without; with the score it is written.
        evaluators: of the run; a signal may end them.
        cfg: the settings of this session.
        folder: of the run.
        notify: called with one line.
        network: makes the network of the policy, where it is the user's.
    """
    best = None
    if not evaluators.off:
        best = open_policy(folder, allow=with_code_of(cfg), device=summary.device, tell=notify, network=network)
    scores = None if best is None else evaluators.final(best)
    if best is not None and scores is not None:
        summary = summary.with_scores(scores, best)
        summary.write()  # the curve shows it
    if scores is not None or evaluators.off:
        curve, gif = draw_results(folder, best, cfg, notify, network)
        summary = replace(summary, curve=curve, gif=gif)
    return summary


def draw_results(
    folder: Path,
    policy: Policy | None,
    cfg: Config,
    notify: Callable[[str], None],
    network: OwnNetwork | None = None,
) -> tuple[str, str | None]:
    """Draw the curve and, if asked, record an episode.

    Args:
        folder: the run folder.
        policy: the run's best checkpoint; None: no environment may be made for an episode.
        cfg: the settings of this session, which have the secrets of its environment, or what a program handed over.
        notify: called with one line that says why there is no recording.
        network: makes the network of the policy, where it is the user's.

    Returns:
        Paths of curve.png and agent.gif; None instead of a GIF that was not asked for or could not be made.
    """
    curve = str(draw_curve(folder))
    if not cfg.gif or policy is None:
        return curve, None
    policy.cfg.env = cfg.env
    try:
        if policy.cfg.env.isolate:
            return curve, call_apart(_record_saved, folder, cfg.env, network)
        return curve, of_others(_record, policy, folder)
    except GaveUpError:
        notify("no agent.gif: the environment did not answer, and the run is to end")
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


def _record_saved(folder: Path, env: EnvConfig, network: OwnNetwork | None) -> str:
    policy = load_policy(folder, network=network, trust=True)  # the main process has loaded it just now
    policy.cfg.env = env
    return _record(policy, folder)
