"""The main loop of A2C; AC is the same loop with one environment and one step."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from a2c.build import TrainingEnvs, build, make_envs
from a2c.collecting.device_collector import AnyCollector
from a2c.envs.look import decided
from a2c.errors import WEIGHTS_ARE_SOUND
from a2c.learning.averaging import averaging_of
from a2c.learning.learner import Learner
from a2c.machine.processes.foreign_code import GaveUpError
from a2c.machine.rank_group import Ranks
from a2c.network.making import OwnNetwork
from a2c.rollout import Rollout
from a2c.run.callback import Callback
from a2c.run.opening import AnyRun, open_run, open_run_of_ranks
from a2c.run.orders import finished_before
from a2c.run.rank_settings import of_one, of_rank
from a2c.run.state import TrainState
from a2c.run.summary import Summary
from a2c.settings.config import Config

__all__ = ["Summary", "train", "training"]


def train(cfg: Config, folder: Path, *, network: OwnNetwork | None = None, callback: Callback | None = None) -> Summary:
    """Train an agent in a run folder.

    Args:
        cfg: validated settings (:func:`a2c.load_config`).
        folder: the run folder, made if missing; ``cfg.resume`` may name a run to continue.
        network: makes a network of the user's; None: ours, or that of ``network.make``.
        callback: of the user, for every report; None: there is none.

    Returns:
        The summary of the run, as in ``summary.json``.

    Raises:
        A2CError: a subclass for each kind of failure, with an exit code and a message of one line.
    """
    cfg = decided(cfg)
    own = of_one(cfg)
    with make_envs(own) as envs, open_run(cfg, folder, network, callback) as run:
        learner, collector = build(own, envs, run.update, run.console.note, network)
        return _trained(run, learner, collector, envs, cfg.total_steps)


def _trained(run: AnyRun, learner: Learner, collector: AnyCollector, envs: TrainingEnvs, total_steps: int) -> Summary:
    state = start = run.begin(learner, collector, envs.facts(), envs.plan)
    try:
        run.take_up()
        for state in updates(learner, collector, start, total_steps, run.over):
            if run.due(state):  # a report is the only wait for the device outside acting
                run.report(state)
        learner.check()  # stopped between two reports
    except WEIGHTS_ARE_SOUND as error:
        run.rescue(error, state)  # lose the rollout, not the run
        raise
    except GaveUpError:
        run.give_up()
    return run.finish(state)


def train_rank(
    cfg: Config,
    folder: Path,
    ranks: Ranks,
    *,
    network: OwnNetwork | None = None,
    callback: Callback | None = None,
    log_to: Callable[[Path], None] = lambda path: None,
    restarts: int = 0,
) -> Summary:
    """Train in step with other ranks, each with its share of the environments; else as :func:`train`.

    Args:
        cfg, folder, network, callback: as for :func:`train`, the same for all; only the first rank uses the folder.
        ranks: all of them.
        log_to: called, on the others, with the file that their own output goes to.
        restarts: how often all of them have been started again.

    Returns:
        The summary of the run, the same on all ranks.

    Raises:
        RankFailure: another rank has ended, died or hung.
        A2CError: as :func:`train`.
    """
    with ranks.telling():
        if (finished := finished_before(ranks)) is not None:
            return finished
        cfg = decided(cfg)
        own = of_rank(cfg, ranks)
        with (
            make_envs(own, first=ranks.rows(cfg.num_envs).start) as envs,
            open_run_of_ranks(cfg, folder, ranks, network, callback, log_to) as run,
        ):
            if restarts:
                run.console.note(f"a rank died or hung; all start again from the last checkpoint (restart {restarts})")
            averaging = averaging_of(cfg, ranks)
            learner, collector = build(own, envs, run.update, run.console.note, network, averaging)
            with ranks.telling():  # before anything is closed, which may take its time
                return _trained(run, learner, collector, envs, cfg.total_steps)


def updates(
    learner: Learner,
    collector: AnyCollector,
    state: TrainState,
    total_steps: int,
    over: Callable[[], bool] = lambda: False,
    learned_from: Callable[[Rollout], Rollout] | None = None,
) -> Iterator[TrainState]:
    """Collect and learn until ``total_steps``, or until someone asks it to stop.

    Args:
        learner, collector: from :func:`a2c.build.build`.
        state: where training starts.
        total_steps: env steps at which it ends.
        over: asked before every update; True ends training.
        learned_from: turns the rollout just collected into the one to learn from; None: learn from it as it is.

    Yields:
        The training state after every update.

    Raises:
        EnvironmentFailure, NumericError: an environment failed or gave a number that is not finite.
    """
    while state.env_steps < total_steps and not over():
        rollout = collector.collect(state.update)  # [T, N], already on the device
        batch = rollout if learned_from is None else learned_from(rollout)
        learner.update(batch, state.env_steps)  # one forward, one backward, one step
        state = state.after(learner.counted(rollout))
        yield state


def training(
    cfg: Config, learned_from: Callable[[Rollout], Rollout] | None = None
) -> Iterator[tuple[TrainState, Learner, AnyCollector]]:
    """Train without a run folder.

    Args:
        cfg: validated settings.
        learned_from: as in :func:`updates`.

    Yields:
        Training state, learner and collector, before the first update and after every one.
    """
    own = of_one(decided(cfg))
    with make_envs(own, resumable=False) as envs:
        learner, collector = build(own, envs)
        yield TrainState(), learner, collector
        for state in updates(learner, collector, TrainState(), cfg.total_steps, learned_from=learned_from):
            yield state, learner, collector
