"""One step semantics for every vector environment, whatever its autoreset mode.

What happens when an episode ends at step t, by mode:

    SAME_STEP   obs is the new episode's first observation; the final one is in infos or in a buffer of its own
    NEXT_STEP   obs is the final observation; the next step ignores its action and resets: no transition
    DISABLED    obs is the final observation; we reset by mask at once

All modes give the same transitions (rows with ``valid``). A truncated row comes with the observation at which the time
limit cut the episode, because the learner bootstraps from its value.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NoReturn, TypeVar

import numpy as np
from gymnasium.spaces import Space
from gymnasium.vector import AutoresetMode, VectorEnv
from numpy.typing import NDArray

from a2c.envs.action_door import action_door
from a2c.envs.backends import Stepped, autoreset_mode, backend_of
from a2c.envs.batch_checks import BatchChecks
from a2c.envs.continuity import Continuity
from a2c.envs.episodes import Episode, EpisodeStatistics, LifeCounter
from a2c.envs.failures import as_failure, leave
from a2c.envs.final_infos import LastInfos
from a2c.envs.final_observations import FinalObservations
from a2c.envs.foreign import users_own
from a2c.envs.frames import Frames
from a2c.envs.remarks import Remarks
from a2c.envs.step import Step
from a2c.errors import A2CError, EnvironmentFailure

Flags = NDArray[np.bool_]
Result = TypeVar("Result")

_TOLD = ("lives", "life_lost")  # infos that tell of a lost life


class LockstepEnvs:
    """N environments in lockstep, on the host.

    Args:
        envs: any Gymnasium vector environment; ``metadata["autoreset_mode"]`` says how it resets.
        clip_reward: learn from the sign of the reward; episode returns stay raw.
        life_loss: show the learner a lost life (``infos["lives"]`` fell, or ``infos["life_lost"]``) as termination;
            the game and its statistics go on.
        step_timeout: seconds for one reset or step, where ``envs`` has ``step_wait(timeout)``: in other processes.
        first: global index of the first environment, where there are groups.
        frames: ``envs`` give the newest frame ``[1, *frame]`` of each observation, which is a stack of them; None: they
            give observations.
        remarks: shared by the groups of a run; None: of their own.

    Attributes:
        last_infos: notes those with which episodes end, if somebody asks.
        continuity: lets episodes go on after a failure, or in a resumed run.
        observation_space: of one observation: with ``frames``, of a stack, though ``reset`` and ``Step`` hold frames.

    Raises:
        ConfigError: ``envs`` does not say its autoreset mode, or its action space is not supported.
    """

    def __init__(
        self,
        envs: VectorEnv[Any, Any, Any],
        *,
        clip_reward: bool = False,
        life_loss: bool = False,
        step_timeout: float | None = None,
        first: int = 0,
        frames: Frames | None = None,
        remarks: Remarks | None = None,
    ) -> None:
        self.envs, self.frames = envs, frames
        self.num_envs: int = envs.num_envs
        given: Space[Any] = envs.single_observation_space
        self.observation_space = given if frames is None else frames.stacked(given)
        self.action_space: Space[Any] = envs.single_action_space
        self._mode = autoreset_mode(envs)
        self._clip_reward = clip_reward
        self._backend = backend_of(envs, step_timeout, _TOLD if life_loss else ())
        self._door = action_door(self.action_space)
        n = self.num_envs
        self._checks = BatchChecks(n, given, first, remarks, signs=clip_reward)
        self._no_flags = bytes(n)
        self._all, self._none = np.broadcast_to(True, n), np.broadcast_to(False, n)  # most steps end no episode
        self._no_rows = np.empty(0, np.intp)
        self.last_infos = LastInfos(self._backend, self._mode is AutoresetMode.SAME_STEP)
        self._finals = FinalObservations(self._backend, self._mode, given, self._checks)

        self._resetting, self._any_resetting = np.zeros(n, np.bool_), False  # NEXT_STEP: rows that the next step resets
        self._statistics = EpisodeStatistics(n)
        self._lives = LifeCounter(n) if life_loss else None
        self._steps, self._broken = 0, False
        self.continuity = Continuity(self._backend, self._mode, self._statistics, self._lives, first)

    def reset(self, seeds: Sequence[int]) -> Any:
        """Start a new episode everywhere, environment i from ``seeds[i]``.

        A vector environment that takes only one seed for all (native ones other than Atari) gets ``seeds[0]``.

        Returns:
            ``[N, *obs]`` first observations, a tree of arrays.

        Raises: as :meth:`receive`, and ValueError for another number of seeds.
        """
        if len(seeds) != self.num_envs:
            raise ValueError(f"{self.num_envs} environments need as many seeds, got {len(seeds)}")
        obs, infos = self.between_steps(lambda: self._backend.reset(seeds), "reset")
        self._checks.infos(infos)
        self._broken = True  # unless they pass the checks
        self._checks.observations(obs, self._steps)
        self._broken = False
        self._resetting, self._any_resetting = np.zeros(self.num_envs, np.bool_), False
        self._statistics.restart()
        if self._lives is not None:
            self._lives.restart(infos)
        self.continuity.begin(self._all)
        return obs

    @property
    def observations(self) -> NDArray[Any] | None:
        """``[N, *obs]``: the memory that every reset and step writes its observations to; None if there is none."""
        return self._backend.observations

    def step(self, actions: NDArray[Any]) -> Step:
        """:meth:`send`, then :meth:`receive`."""
        self.send(actions)
        return self.receive()

    def send(self, actions: NDArray[Any]) -> None:
        """Begin a step of every environment; those in other processes run while the caller does something else.

        Args:
            actions: ``[N]`` int64, counted from 0, or ``[N, D]`` float32, unclipped.

        Raises:
            EnvironmentFailure: a worker is gone, or the environments failed before.
        """
        self._refuse_if_broken()
        try:
            batch = self._door(actions)
            self.continuity.record(batch)
            self._backend.begin(batch)
        except BaseException as error:
            self._fail(error, f"step {self._steps + 1}")

    def receive(self) -> Step:
        """Wait for the step that :meth:`send` began, and return it.

        Raises:
            EnvironmentFailure: an environment raised, died, hung or broke its contract; no further step is possible.
            NumericError: a reward or an observation is not finite.
        """
        dropped: Sequence[int] = ()
        try:
            stepped = self._backend.finish()
        except BaseException as error:
            if users_own(error):
                self._fail(error, "")
            self._broken, when = True, f"step {self._steps + 1}"  # unless they can be made anew
            stepped, dropped = self.continuity.finish(error, lambda raised: self._named(raised, when))
        self._steps += 1
        self._broken = True  # unless it passes the checks
        step = self._received(stepped)
        self._broken = False
        if dropped:
            step.dropped, step.began = dropped, step.began.copy()
            step.began[dropped] = True
        return step

    def drain_episodes(self) -> list[Episode]:
        """Episodes finished since the last call, in order of (step, environment)."""
        return self._statistics.drain()

    def between_steps(self, what: Callable[[], Result], when: str) -> Result:
        """Do something with the environments between two steps; what fails is named; raises as :meth:`receive`.

        Args:
            what: to do.
            when: for the message.
        """
        self._refuse_if_broken()
        try:
            return what()
        except BaseException as error:
            self._fail(error, when)

    def close(self, terminate: bool = False) -> None:
        """Close and leave no process behind; after a failure, or with ``terminate``, without waiting."""
        leave(self.envs, terminate or self._broken)

    def _received(self, stepped: Stepped) -> Step:
        obs, rewards, terminated, truncated, infos = stepped
        if self._any_resetting:
            rewards = np.where(self._resetting, 0.0, rewards)
        self._checks.rewards(rewards, self._steps)
        self._checks.observations(obs, self._steps)
        self._statistics.add(rewards)
        lost = self._lives.lost(infos) if infos and self._lives is not None else None
        learned = (np.sign(rewards) if self._clip_reward else rewards).astype(np.float32)

        none = self._no_flags
        if terminated.tobytes() != none or truncated.tobytes() != none or self._any_resetting:
            # Copies, because _end changes the flags and the caller keeps them.
            return self._end(obs, learned, terminated.copy(), truncated.copy(), infos, lost)
        died = self._none if lost is None else np.array(lost, np.bool_)
        return Step(obs, learned, died, self._none, self._all, self._none, self._no_rows, self._finals.none)

    def _end(
        self, obs: Any, learned: NDArray[np.float32], terminated: Flags, truncated: Flags, infos: Any, lost: Any
    ) -> Step:
        """Finish a step in which episodes end, or, in NEXT_STEP, one that follows such a step."""
        ended = terminated | truncated
        valid, began = self._all, ended
        if self._mode is AutoresetMode.NEXT_STEP:
            began = self._resetting
        if self._any_resetting:
            valid = ~self._resetting
            terminated, truncated = terminated & valid, truncated & valid
        final_rows, final_obs = self._no_rows, self._finals.none
        if any_ended := bool(np.count_nonzero(ended)):
            truncated &= ~terminated
            final_rows = truncated.nonzero()[0]
            if len(final_rows):
                final_obs = self._finals.of(final_rows, obs, infos, self._steps)
            done = terminated | truncated
            # NEXT_STEP spends a step on the reset
            self._statistics.finish(done, self._mode is AutoresetMode.NEXT_STEP, self.last_infos.of(infos, done))
            if self._mode is AutoresetMode.DISABLED:
                try:
                    obs, infos = self._backend.reset_some(ended)
                except BaseException as error:
                    self._fail(error, f"the reset after step {self._steps}")
                self._checks.observations(obs, self._steps)
                if self._lives is not None:
                    self._lives.lost(infos)  # the new games' lives
        if self._mode is AutoresetMode.NEXT_STEP:
            self._resetting, self._any_resetting = ended, any_ended
        if lost is not None:  # after the episodes: the game goes on
            terminated |= lost & valid & ~ended
        self.continuity.begin(began)
        return Step(obs, learned, terminated, truncated, valid, began, final_rows, final_obs)

    def _refuse_if_broken(self) -> None:
        # After a timeout a late answer would pass for the next step's, and every result would be off by one action.
        if self._broken:
            raise EnvironmentFailure("the environments failed before; close them and make new ones")

    def _fail(self, error: BaseException, when: str) -> NoReturn:
        self._broken = True
        if users_own(error):
            raise error
        raise self._named(error, when) from error

    def _named(self, error: BaseException, when: str) -> A2CError:
        return self._checks.placed(error if isinstance(error, A2CError) else as_failure(error, self.envs, when))
