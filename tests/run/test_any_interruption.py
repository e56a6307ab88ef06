"""Whatever stops, kills or damages a run, in whatever order: it ends with the bytes of a run that nobody disturbed.

Hypothesis makes up the orders. What is driven is the product: environments, collector, learner, ``Run`` with its
checkpoints and records. Signals, workers and evaluations have their share in ``make soak``, with real processes.
"""

from __future__ import annotations

import contextlib
import functools
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from a2c.build import build, make_envs
from a2c.errors import RunIOError
from a2c.run.opening import open_run
from a2c.run.state import TrainState
from a2c.settings.config import Config
from a2c.storage import kept_checkpoints
from a2c.storage.checkpoint import save_checkpoint
from a2c.storage.kept_checkpoints import kept
from a2c.trainer import updates
from builders import config
from soak.record import outcome

UPDATES, NUM_ENVS, N_STEP = 18, 4, 5
ROLLOUT = NUM_ENVS * N_STEP


class Killed(BaseException):
    """The process has died here."""


class Session:
    """A run in this process, from opening it to whatever ends it."""

    def __init__(self, cfg: Config, folder: Path) -> None:
        resume = str(folder) if kept(folder / "checkpoints", "last") else None
        cfg = replace(cfg, resume=resume)
        self._closing = contextlib.ExitStack()
        envs = self._closing.enter_context(make_envs(cfg))
        self.run = self._closing.enter_context(open_run(cfg, folder))
        learner, collector = build(cfg, envs, self.run.update)
        self.state: TrainState = self.run.begin(learner, collector, envs.facts(), envs.plan)
        self.run.take_up()
        self._updates: Iterator[TrainState] = updates(learner, collector, self.state, cfg.total_steps, self.run.over)

    def learn(self, count: int) -> None:
        """Some updates, with their reports; fewer where the run is at its end."""
        for _ in range(count):
            state = next(self._updates, None)
            if state is None:
                return
            self.state = state
            if self.run.due(state):
                self.run.report(state)

    def close(self) -> None:
        """As it dies: without an evaluation under way this writes nothing."""
        self._closing.close()


def light(folder: Path) -> Config:
    """A small training with all that a checkpoint can hold; it is evaluated at its end."""
    return config(
        runs_dir=str(folder),
        env={"max_episode_steps": 30},
        num_envs=NUM_ENVS,
        n_step=N_STEP,
        total_steps=UPDATES * ROLLOUT,
        log_every=ROLLOUT,
        checkpoint={"every": 2 * ROLLOUT},
        eval={"every": 0, "episodes": 1, "apart": "false"},
        vectorization="sync",
        threads=1,
        normalize_obs=True,
        normalize_reward=True,
        lr_schedule="linear",
    )


@functools.cache
def undisturbed() -> dict[str, str]:
    with tempfile.TemporaryDirectory() as home:
        session = Session(light(Path(home)), Path(home) / "run")
        session.learn(UPDATES)
        session.close()
        return outcome(Path(home) / "run")


class Interrupted(RuleBasedStateMachine):
    """One training and what may befall it."""

    @initialize()
    def begin(self) -> None:
        self.home = tempfile.TemporaryDirectory()
        self.folder, self.cfg = Path(self.home.name) / "run", light(Path(self.home.name))
        self.full, self.dies = False, ""
        self.patch = pytest.MonkeyPatch()
        self.patch.setattr(kept_checkpoints, "save_checkpoint", self._save)
        self.patch.setattr("a2c.run.checkpoints.WAITS", ())
        self.session = Session(self.cfg, self.folder)

    def _save(self, path: Path, payload: dict[str, Any]) -> None:
        if self.full:
            raise RunIOError(f"cannot write {path}: no space left on device")
        if self.dies == "before":
            raise Killed
        save_checkpoint(path, payload)
        if self.dies == "after":
            raise Killed

    def _resumed(self) -> None:
        self.session.close()
        self.full, self.dies = False, ""
        self.session = Session(self.cfg, self.folder)

    @rule(count=st.integers(1, 5))
    def learn(self, count: int) -> None:
        try:
            self.session.learn(count)
        except RunIOError:  # the third save in a row that failed
            assert self.full
            self._resumed()

    @rule()
    def save(self) -> None:
        if not self.full:
            self.session.run.save("last", self.session.state)

    @rule()
    def stop_and_resume(self) -> None:
        self.full = False
        self.session.run.stop.signal = "SIGTERM"
        self.session.run.finish(self.session.state)
        self._resumed()

    @rule()
    def kill(self) -> None:
        self._resumed()

    @rule(when=st.sampled_from(["before", "after"]), count=st.integers(2, 3))
    def kill_at_a_save(self, when: str, count: int) -> None:
        self.full, self.dies = False, when
        with contextlib.suppress(Killed):
            self.session.learn(count)
        self._resumed()

    @precondition(lambda self: len(kept(self.folder / "checkpoints", "last")) > 1)
    @rule(at=st.floats(0.0, 0.999), cut=st.booleans())
    def damage_the_newest(self, at: float, cut: bool) -> None:
        self.session.close()
        newest = kept(self.folder / "checkpoints", "last")[0]
        data = newest.read_bytes()
        here = int(at * len(data))
        newest.unlink()  # the same file may have a second name, which stays whole
        newest.write_bytes(data[:here] if cut or not data else data[:here] + bytes([data[here] ^ 1]) + data[here + 1 :])
        self._resumed()

    @rule()
    def fill_the_disk(self) -> None:
        self.full = True

    @rule()
    def clear_the_disk(self) -> None:
        self.full = False

    @rule(groups=st.sampled_from([1, 2, 4]))
    def resume_with_other_groups(self, groups: int) -> None:
        self.cfg = replace(self.cfg, env_groups=groups)
        self._resumed()

    def teardown(self) -> None:
        if not hasattr(self, "session"):
            return
        try:
            self.full = False
            self.session.learn(UPDATES)
            if self.session.run._checkpoints.owes:  # the disk was full at the last report
                self.session.run.save("last", self.session.state)
            assert self.session.state.update == UPDATES
            assert outcome(self.folder) == undisturbed()
        finally:
            self.session.close()
            self.patch.undo()
            self.home.cleanup()


TestAnyInterruption = Interrupted.TestCase
TestAnyInterruption.settings = settings(
    max_examples=10,
    stateful_step_count=12,
    phases=[Phase.generate],  # to shorten an order that fails takes minutes; the orders are short as they are
    suppress_health_check=list(HealthCheck),
)
