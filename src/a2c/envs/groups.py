"""Environments in groups, so that one group steps while the policy serves another."""

from __future__ import annotations

from collections.abc import Callable

from a2c.envs.lockstep import LockstepEnvs
from a2c.envs.spaces import spaces_of


class EnvGroups:
    """Groups of environments, in the order of their rows.

    Args:
        groups: one or more, of the same spaces.
    """

    def __init__(self, groups: list[LockstepEnvs]) -> None:
        self.groups = groups
        self.num_envs = sum(group.num_envs for group in groups)
        self.spaces = spaces_of(groups[0].observation_space, groups[0].action_space)

    def close(self, terminate: bool = False) -> None:
        """Close every group, even if one of them fails to close; then raise the first failure."""
        failed: Exception | None = None
        for group in self.groups:
            try:
                group.close(terminate)
            except Exception as error:
                failed = failed or error
        if failed is not None:
            raise failed


def in_groups(num_envs: int, count: int, make: Callable[[int, int], LockstepEnvs]) -> EnvGroups:
    """Make ``num_envs`` environments in ``count`` groups of equal size or nearly so.

    Args:
        num_envs: N over all groups.
        count: how many groups.
        make: (index of the first environment, how many) -> the group; if it raises, the groups made so far are closed.
    """
    groups: list[LockstepEnvs] = []
    try:
        for k in range(count):
            first, end = num_envs * k // count, num_envs * (k + 1) // count
            groups.append(make(first, end - first))
    except BaseException:
        for group in groups:
            group.close(terminate=True)
        raise
    return EnvGroups(groups)
