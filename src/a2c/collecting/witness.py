"""What there is of a rollout in which an environment gave a number that is not finite."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor

from a2c.envs.lockstep import LockstepEnvs
from a2c.envs.step import Step
from a2c.errors import NumericError
from a2c.maths.trees import Tree, tree_map

GIVEN = ("rewards", "terminated", "truncated")  # what a step gives besides observations


@dataclass(frozen=True, slots=True)
class Witness:
    """Knows the memory of the rollout, so that an error can show it."""

    obs: Tree  # [T+1, N, *obs]
    actions: Tensor  # [T, N, *action]
    host: Mapping[str, NDArray[Any]]  # [T, N] each, GIVEN among them
    first: int  # global index of the first of all N environments

    def receive(self, envs: LockstepEnvs, rows: slice, t: int) -> Step:
        """The step of a group of environments that ends at row ``t``.

        Args:
            envs: the group.
            rows: of the group in the memory.
            t: rows before it have actions and observations, what steps gave is there of one less.

        Raises: as :meth:`LockstepEnvs.receive`; a NumericError has the group's rollout in its evidence.
        """
        try:
            return envs.receive()
        except NumericError as error:
            error.evidence = {**(error.evidence or {}), "row": t, **self._rollout(rows, t)}
            raise

    def _rollout(self, rows: slice, t: int) -> dict[str, Any]:
        with torch.inference_mode(False):  # tensors like any others
            rollout: dict[str, Any] = {name: torch.from_numpy(self.host[name][: t - 1, rows].copy()) for name in GIVEN}
            rollout["obs"] = tree_map(lambda part: part[:t, rows].to("cpu", copy=True), self.obs)
            rollout["actions"] = self.actions[:t, rows].to("cpu", copy=True)
        return {"rollout": rollout, "first": self.first + rows.start}
