"""Choose how episodes in flight are rebuilt in a resumed run, by a trial before the first reset."""

from __future__ import annotations

from collections.abc import Sequence

from a2c.envs.failures import as_failure
from a2c.envs.lockstep import LockstepEnvs
from a2c.envs.rebuilding.origins import RENEW, REPLAY, RESTART, STATE
from a2c.envs.rebuilding.past import longest
from a2c.envs.rebuilding.trial import Rebuilding
from a2c.errors import A2CError

LOSES = "all but episodes in flight, which start over"


def prepare_rebuilding(groups: Sequence[LockstepEnvs], seed: int, *, alone: bool) -> Rebuilding:
    """Try out how to rebuild episodes, and have all groups keep what that takes.

    Args:
        groups: before their first reset.
        seed: of the trial.
        alone: there may be no second instance of the environment.

    What an environment raises in the trial is left to training to report, where it can be restarted.

    Raises:
        EnvironmentFailure: a worker died or hung in the trial; the environments must be made anew.
    """
    rebuilder = groups[0].continuity.rebuilder
    if rebuilder is None:
        return Rebuilding(RESTART, "its vector environment keeps no state")
    try:
        found = rebuilder.try_out(seed, alone)
    except A2CError:
        raise
    except Exception as error:
        raise as_failure(error, groups[0].envs, "the trial of exact resume") from error
    if found.kind != RESTART:
        for group in groups:
            group.continuity.keep(found.kind)
    return found


def explained(found: Rebuilding, action_bytes: int, num_envs: int) -> str:
    """Say in one line what comes of episodes in flight when a run is stopped and resumed.

    Args:
        found: by the trial.
        action_bytes: of one action of one environment.
        num_envs: of a group.
    """
    if found.kind == RESTART:
        return f"{LOSES}: {found.why}"
    most = f"{longest(action_bytes, num_envs):,} steps of an episode"
    how = {
        REPLAY: f"exact: it plays up to {most} again",
        RENEW: f"exact: every episode begins in a new instance, and it plays up to {most} again",
        STATE: f"exact: it plays up to {most} again from the state before them",
    }
    return how[found.kind]
