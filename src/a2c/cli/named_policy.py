"""The policy of the run that a command names."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

from a2c.cli.command import NamedEnv, NamedNetwork, allow_code

if TYPE_CHECKING:
    from a2c.playing.policy import Policy


class NamesRun(Protocol):
    """A command that plays the environment of a run."""

    run: str
    runs_dir: str
    device: str
    env: NamedEnv
    network: NamedNetwork


def named_policy(command: NamesRun, arguments: Sequence[str]) -> Policy:
    """Load the policy, if whoever typed the command knows what that and its environment import.

    Args:
        command: what was typed.
        arguments: of the command line, for ``--trust``.

    Raises:
        CheckpointError, ConfigError: as :func:`a2c.load_policy` and :func:`a2c.cli.command.allow_code`.
    """
    from a2c.playing.loading import open_policy  # it imports torch

    return open_policy(
        command.run,
        allow=lambda cfg, path: allow_code(cfg, path, command.env, command.network, arguments),
        runs_dir=command.runs_dir,
        device=command.device,
        secrets=command.env.kwargs,
    )
