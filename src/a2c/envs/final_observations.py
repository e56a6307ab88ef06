"""The last observations of episodes that a time limit cut, wherever a vector environment leaves them."""

from __future__ import annotations

from typing import Any

import numpy as np
from gymnasium.spaces import Space
from gymnasium.vector import AutoresetMode
from numpy.typing import NDArray

from a2c.envs.backends import Backend
from a2c.envs.batch_checks import BatchChecks
from a2c.envs.contract import space_tree
from a2c.errors import EnvironmentFailure
from a2c.maths.trees import tree_map


class FinalObservations:
    """Finds them after a step.

    Args:
        backend: what steps the environments.
        mode: how they reset.
        space: of one observation.
        checks: that they must pass.
    """

    def __init__(self, backend: Backend, mode: AutoresetMode, space: Space[Any], checks: BatchChecks) -> None:
        self._backend, self._mode, self._checks = backend, mode, checks
        self.none = tree_map(lambda part: np.empty((0, *(part.shape or ())), part.dtype), space_tree(space))

    def of(self, rows: NDArray[np.intp], obs: Any, infos: dict[str, Any], step: int) -> Any:
        """The final observations of the truncated rows: ``[K, *obs]``, a copy.

        Args:
            rows: ``[K]``.
            obs: ``[N, *obs]`` that the step gave.
            infos: likewise.
            step: its number.

        Raises:
            EnvironmentFailure: there are none.
            NumericError: one is not finite.
        """
        if self._mode is not AutoresetMode.SAME_STEP:
            return tree_map(lambda part: part[rows], obs)
        final: Any = self._backend.final_observations
        if final is None:
            if "final_obs" not in infos:
                raise EnvironmentFailure(
                    f"{self._backend.envs} resets in the same step but gives no infos['final_obs']"
                )
            final = infos["final_obs"]  # [N] of object, None elsewhere (Gymnasium's own), or [N, *obs] (ale-py)
        each = [final[row] for row in rows]
        finals = tree_map(lambda part, *parts: np.stack([np.asarray(one, part.dtype) for one in parts]), obs, *each)
        self._checks.final_observations(finals, rows, step)
        return finals
