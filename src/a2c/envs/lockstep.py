"""One step semantics for every vector environment, whatever its autoreset mode.

What happens when an episode ends at step t, by mode:

    SAME_STEP   obs is the new episode's first observation; the final one is in infos or in a buffer of its own
    NEXT_STEP   obs is the final observation; the next step ignores its action and resets: no transition
    DISABLED    obs is the final observation; we reset by mask at once

All modes give the same transitions (rows with ``valid``). A truncated row comes with the observation at which the time
limit cut the episode, because the learner bootstraps from its value.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NoReturn

import numpy as np
from gymnasium.spaces import Space
from gymnasium.vector import AutoresetMode, VectorEnv
from numpy.typing import NDArray

from a2c.envs.backends import autoreset_mode, backend_of
from a2c.envs.batch_checks import BatchChecks
from a2c.envs.contract import space_tree
from a2c.envs.episodes import Episode, EpisodeStatistics, LifeCounter
from a2c.envs.failures import as_failure, close
from a2c.envs.foreign import users_own
from a2c.envs.frames import Frames
from a2c.envs.remarks import Remarks
from a2c.envs.spaces import action_door
from a2c.envs.step import Step
from a2c.errors import A2CError, EnvironmentFailure
from a2c.maths.trees import tree_map

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
        self._checks = BatchChecks(n, given, first, remarks)
        self._no_flags = bytes(n)
        self._all, self._none = np.broadcast_to(True, n), np.broadcast_to(False, n)  # most steps end no episode
        self._no_rows = np.empty(0, np.intp)
        self._no_final = tree_map(lambda part: np.empty((0, *(part.shape or ())), part.dtype), space_tree(given))

        self._resetting = np.zeros(n, np.bool_)  # NEXT_STEP: rows that the next step resets
        self._any_resetting = False
        self._statistics = EpisodeStatistics(n)
        self._lives = LifeCounter(n) if life_loss else None
        self._steps = 0
        self._broken = False

    def reset(self, seeds: Sequence[int]) -> Any:
        """Start a new episode everywhere, environment i from ``seeds[i]``.

        A vector environment that takes only one seed for all (native ones other than Atari) gets ``seeds[0]``.

        Returns:
            ``[N, *obs]`` first observations, a tree of arrays.

        Raises: as :meth:`receive`, and ValueError for another number of seeds.
        """
        if len(seeds) != self.num_envs:
            raise ValueError(f"{self.num_envs} environments need as many seeds, got {len(seeds)}")
        if self._broken:
            self._refuse()
        try:
            obs, infos = self._backend.reset(seeds)
        except BaseException as error:
            self._fail(error, "reset")
        self._checks.infos(infos)
        self._check(obs)
        self._resetting = np.zeros(self.num_envs, np.bool_)
        self._any_resetting = False
        self._statistics.restart(self._steps)
        if self._lives is not None:
            self._lives.restart(infos)
        return obs

    @property
    def observations(self) -> NDArray[Any] | None:
        """``[N, *obs]``: the memory that every reset and step writes its observations to; None if there is none."""
        return self._backend.observations

    def step(self, actions: NDArray[Any]) -> Step:
        """Step every environment once: :meth:`send`, then :meth:`receive`."""
        self.send(actions)
        return self.receive()

    def send(self, actions: NDArray[Any]) -> None:
        """Begin a step of every environment; those in other processes run while the caller does something else.

        Args:
            actions: ``[N]`` int64, counted from 0, or ``[N, D]`` float32, unclipped.

        Raises:
            EnvironmentFailure: a worker is gone, or the environments failed before.
        """
        if self._broken:
            self._refuse()
        try:
            self._backend.begin(self._door(actions))
        except BaseException as error:
            self._fail(error, f"step {self._steps + 1}")

    def receive(self) -> Step:
        """Wait for the step that :meth:`send` began, and return it.

        Raises:
            EnvironmentFailure: an environment raised, died, hung or broke its contract; no further step is possible.
            NumericError: a reward or an observation is not finite.
        """
        try:
            obs, rewards, terminated, truncated, infos = self._backend.finish()
        except BaseException as error:
            self._fail(error, f"step {self._steps + 1}")
        self._steps += 1
        if self._any_resetting:
            rewards = np.where(self._resetting, 0.0, rewards)
        self._check(obs, rewards)
        self._statistics.add(rewards)
        lost = self._lives.lost(infos) if infos and self._lives is not None else None
        learned = (np.sign(rewards) if self._clip_reward else rewards).astype(np.float32)

        none = self._no_flags
        if terminated.tobytes() != none or truncated.tobytes() != none or self._any_resetting:
            # Copies, because _end changes the flags and the caller keeps them.
            return self._end(obs, learned, terminated.copy(), truncated.copy(), infos, lost)
        died = self._none if lost is None else np.array(lost, np.bool_)
        return Step(obs, learned, died, self._none, self._all, self._none, self._no_rows, self._no_final)

    def drain_episodes(self) -> list[Episode]:
        """Episodes finished since the last call, in order of (step, environment)."""
        return self._statistics.drain()

    def close(self, terminate: bool = False) -> None:
        """Close and leave no process behind; after a failure, or with ``terminate``, without waiting."""
        close(self.envs, terminate or self._broken)

    def _end(
        self,
        obs: Any,
        learned: NDArray[np.float32],
        terminated: NDArray[np.bool_],
        truncated: NDArray[np.bool_],
        infos: dict[str, Any],
        lost: NDArray[np.bool_] | None,
    ) -> Step:
        """Finish a step in which episodes end, or, in NEXT_STEP, one that follows such a step."""
        ended = terminated | truncated
        valid, began = self._all, ended
        if self._mode is AutoresetMode.NEXT_STEP:
            began = self._resetting
        if self._any_resetting:
            valid = ~self._resetting
            terminated &= valid
            truncated &= valid
        final_rows, final_obs = self._no_rows, self._no_final
        any_ended = bool(np.count_nonzero(ended))
        if any_ended:
            truncated &= ~terminated
            final_rows = truncated.nonzero()[0]
            if len(final_rows):
                final_obs = self._final_observations(final_rows, obs, infos)
            # NEXT_STEP spends a step on the reset
            self._statistics.finish(terminated | truncated, self._steps, self._mode is AutoresetMode.NEXT_STEP)
            if self._mode is AutoresetMode.DISABLED:
                try:
                    obs, infos = self._backend.reset_some(ended)
                except BaseException as error:
                    self._fail(error, f"the reset after step {self._steps}")
                self._check(obs)
                if self._lives is not None:
                    self._lives.lost(infos)  # the new games' lives
        if self._mode is AutoresetMode.NEXT_STEP:
            self._resetting, self._any_resetting = ended, any_ended
        if lost is not None:  # after the episodes: the game goes on
            terminated |= lost & valid & ~ended
        return Step(obs, learned, terminated, truncated, valid, began, final_rows, final_obs)

    def _final_observations(self, rows: NDArray[np.intp], obs: Any, infos: dict[str, Any]) -> Any:
        """The final observations of the truncated rows: ``[K, *obs]``, a copy."""
        if self._mode is not AutoresetMode.SAME_STEP:
            return tree_map(lambda part: part[rows], obs)
        final: Any = self._backend.final_observations
        if final is None:
            if "final_obs" not in infos:
                self._broken = True
                raise EnvironmentFailure(f"{self.envs} resets in the same step but gives no infos['final_obs']")
            final = infos["final_obs"]  # [N] of object, None elsewhere (Gymnasium's own), or [N, *obs] (ale-py)
        each = [final[row] for row in rows]
        finals = tree_map(lambda part, *parts: np.stack([np.asarray(one, part.dtype) for one in parts]), obs, *each)
        try:
            self._checks.final_observations(finals, rows, self._steps)
        except A2CError:
            self._broken = True
            raise
        return finals

    def _check(self, obs: Any, rewards: NDArray[np.float64] | None = None) -> None:
        try:
            if rewards is not None:
                self._checks.rewards(rewards, self._steps)
            self._checks.observations(obs, self._steps)
        except A2CError:
            self._broken = True
            raise

    def _refuse(self) -> NoReturn:
        # After a timeout a late answer would pass for the next step's, and every result would be off by one action.
        raise EnvironmentFailure("the environments failed before; close them and make new ones")

    def _fail(self, error: BaseException, when: str) -> NoReturn:
        self._broken = True
        if users_own(error):
            raise error
        if isinstance(error, A2CError):
            raise self._checks.placed(error)
        raise self._checks.placed(as_failure(error, self.envs, when)) from error
