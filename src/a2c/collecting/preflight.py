"""Does a run fit this machine? Bytes, file descriptors and processes, computed before anything starts.

Every number is a floor: memory that a run fills whatever its environment does, descriptors that it has open at once.
So what would have run is never refused; what is let through may still turn out too large for its environments' own.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from a2c.errors import ConfigError
from a2c.machine.cores import usable_cores
from a2c.machine.limits import Limit, Limits, device_memory, limits_here
from a2c.machine.rank_place import place_here, ranks_on_machine
from a2c.settings.auto_values import decide
from a2c.settings.config import Config

if TYPE_CHECKING:  # what is already too large by its settings waits for no library
    from a2c.envs.choosing.choose import Plan
    from a2c.envs.spaces import Spaces

FLAGS = 4 + 3 * 1  # bytes of a transition's reward, and of its flags terminated, truncated, valid
VALUES = 4 + 4  # of its weight and of V(final observation)
ENVIRONMENT = 1 << 10  # bytes of one environment: Gymnasium's CartPole has 2,200 before its first reset
PROCESS = 1 << 20  # bytes that a process has for itself
EPISODE = 40  # bytes of an evaluation's episode: its seed and its score
# File descriptors while the last of K processes starts (tests/collecting/test_preflight.py measures them).
OF_A_WORKER = 5  # pipe, life line, death, and two by which multiprocessing knows its child
OF_A_PROCESS_EACH = 3  # vectorization=async: pipe, and those two
WHILE_STARTING = {"workers": 6, "async": 10}


@dataclass(frozen=True, slots=True)
class Part:
    """A part of what a run needs."""

    name: str
    size: int
    settings: dict[str, Any]  # those to lower, with their values


@dataclass(frozen=True, slots=True)
class Needs:
    """What a run needs at least."""

    host: tuple[Part, ...]  # bytes
    device: tuple[Part, ...]  # bytes, where that is not the host
    workers: int  # processes that step environments
    descriptors: int
    processes: int  # and threads
    because: dict[str, Any]  # the settings that ask for the processes, with their values
    ranks: int = 1  # on this machine, each of which needs as much: but descriptors are each process's own


def check_settings(cfg: Config) -> None:
    """Refuse what cannot run here whatever the environment is like; raises as :func:`check_fits`."""
    team = (cfg.num_workers or usable_cores()) if cfg.algo == "a3c" else 1
    place = place_here()
    ranks, here = (cfg.ranks, cfg.ranks) if place is None else (place.size, ranks_on_machine())
    share = replace(decide(cfg), num_envs=max(1, cfg.num_envs // ranks))
    check_fits(needs(share, team=team, ranks=here), limits_here())


def fitting(cfg: Config, device: str) -> Callable[[Spaces | None, Plan | None], None]:
    """A check that refuses what does not fit, by as much as its caller knows.

    Args:
        cfg: the settings.
        device: of the learner.

    Returns:
        A function of the spaces and of what steps the environments, either None if not known yet; it raises as
        :func:`check_fits`, and compares with what was free at the time of this call. Ranks call it when they have just
        met, so that none has taken anything that another counts.
    """
    limits, on_device = limits_here(), device_memory(device)
    on_host = device in ("cpu", "mps")  # an Apple GPU has the host's memory
    ranks = ranks_on_machine()
    return lambda spaces, plan: check_fits(needs(cfg, spaces, plan, on_host=on_host, ranks=ranks), limits, on_device)


def check_episodes(episodes: int) -> None:
    """Refuse an evaluation of more episodes than there is memory for; raises as :func:`check_fits`."""
    part = Part("evaluation", EPISODE * episodes, {"episodes": episodes})
    check_fits(Needs((part,), (), 0, 0, 0, {}), limits_here())


def needs(
    cfg: Config,
    spaces: Spaces | None = None,
    plan: Plan | None = None,
    *,
    on_host: bool = True,
    team: int = 1,
    ranks: int = 1,
) -> Needs:
    """What a run needs at least.

    Args:
        cfg: the settings; of several ranks, those of one.
        spaces: of its environment; None: not known yet.
        plan: what steps the environments; None: not known yet.
        on_host: whether the learner's memory is the host's.
        team: how many processes collect and learn: A3C's workers.
        ranks: on this machine.
    """
    count, transitions = team * cfg.num_envs, team * cfg.num_envs * cfg.n_step
    observation, frames = _bytes_of_observation(cfg, spaces), cfg.env.atari.frame_stack if _is_atari(cfg) else 1
    rollout = (transitions + count) * (observation + 4 * _state_size(cfg))
    rollout += transitions * (VALUES + FLAGS + _bytes_of_action(spaces))
    kind, workers = ("sync", team) if team > 1 else _processes(cfg, plan)
    ours = kind not in ("native", "device")  # others keep what they like
    arrays = 2 * count * (observation // frames) if ours else 0  # the newest frames, and the final observations
    environments = arrays + (count * ENVIRONMENT if ours else 0) + workers * PROCESS
    widths = {"num_workers": team, "num_envs": cfg.num_envs} if team > 1 else {"num_envs": cfg.num_envs}
    sizes = {"n_step": cfg.n_step, **widths}
    of_memory = {"network.memory_size": cfg.network.memory_size} if cfg.network.memory else {}
    if _is_atari(cfg):
        sizes["env.atari.screen_size"] = cfg.env.atari.screen_size
    hidden, episodes = cfg.network.hidden_sizes, max(cfg.eval.episodes, cfg.eval.final_episodes)
    asked = "eval.episodes" if cfg.eval.episodes == episodes else "eval.final_episodes"
    learner = (
        Part("rollout", rollout, {**sizes, **of_memory}),
        Part("network", _bytes_of_network(cfg, spaces), {"network.hidden_sizes": hidden, **of_memory}),
    )
    others = (
        Part("environments", environments, widths),
        Part("evaluation", EPISODE * episodes, {asked: episodes}),
    )
    arriving = (Part("arrivals", 0 if kind == "device" else transitions * FLAGS, sizes),)
    by_async = kind == "async"
    per = OF_A_PROCESS_EACH if by_async else OF_A_WORKER
    fixed = WHILE_STARTING["async" if by_async else "workers"]
    return Needs(
        host=(*learner, *others) if on_host else (*arriving, *others),
        device=() if on_host else learner,
        workers=workers,
        descriptors=per * workers + fixed if workers else 0,
        processes=(1 if by_async else 2) * workers,  # a worker of ours has a thread that watches the main process
        because={"num_envs": cfg.num_envs} if by_async else {"num_workers": workers},
        ranks=ranks,
    )


def check_fits(found: Needs, limits: Limits, on_device: Limit | None = None) -> None:
    """Refuse what the machine does not have.

    Args:
        found: what the run needs.
        limits: what the machine still grants.
        on_device: memory of the learner's device, where that is not the host.

    Raises:
        ConfigError: in one line, the settings at fault, what they need and what is there.
    """
    many, each = (f"{found.ranks} ranks with ", " each") if found.ranks > 1 else ("", "")
    for parts, there, times in ((found.host, limits.memory, found.ranks), (found.device, on_device, 1)):
        one = sum(part.size for part in parts)
        if there is not None and times * one > there.free:
            largest = max(parts, key=lambda part: part.size)
            shares = ", ".join(f"{part.name} {_text(part.size)}" for part in parts if part.size >= one / 100)
            raise ConfigError(
                f"{many}{_spelled(largest.settings)}{each} need {_text(times * one)} of memory ({shares}{each}), and "
                f"{_text(there.free)} are free ({there.source}); lower {' or '.join(largest.settings)}"
            )
    for what, count, there in (
        ("file descriptors", found.descriptors, limits.descriptors),
        ("processes and threads", found.ranks * found.processes, limits.processes),
    ):
        if there is not None and count > there.free:
            raise ConfigError(
                f"{many}{_spelled(found.because)}{each} need {count:,} {what}, and {max(0, there.free):,} are free "
                f"({there.source}); lower {' or '.join(found.because)}, or raise the limit"
            )


def _processes(cfg: Config, plan: Plan | None) -> tuple[str, int]:
    """What steps the environments, and how many processes that takes at least."""
    in_group = cfg.num_envs // cfg.env_groups
    if plan is not None:
        if plan.vectorization == "workers":
            here = int(plan.main_shard)
            return "workers", cfg.env_groups * (min((plan.num_workers or 1) + here, in_group) - here)
        return plan.vectorization, cfg.num_envs if plan.vectorization == "async" else 0
    if cfg.vectorization == "async":
        return "async", cfg.num_envs
    if cfg.vectorization == "workers" or (cfg.vectorization == "auto" and cfg.num_workers is not None):
        here = 1 if cfg.env_groups == 1 else 0  # this process may step the last of the shards
        return "workers", cfg.env_groups * max(1, min(cfg.num_workers or 1, in_group - here))
    return cfg.vectorization, 0


def _bytes_of_observation(cfg: Config, spaces: Spaces | None) -> int:
    if spaces is not None:
        return math.prod(spaces.obs_shape) * (1 if spaces.obs_dtype == "uint8" else 4)
    return cfg.env.atari.frame_stack * cfg.env.atari.screen_size**2 if _is_atari(cfg) else 0


def _is_atari(cfg: Config) -> bool:
    return cfg.env.id.startswith("ALE/") and not cfg.env.wrappers  # which may show something else


def _bytes_of_action(spaces: Spaces | None) -> int:
    """Of the action of a transition and its noise, drawn ahead and in use."""
    if spaces is None:
        return 4 + 2 * 4  # one number, from one number
    columns = sum(sum(sizes) for _, sizes in spaces.parts) or spaces.actions
    row = 1 if spaces.discrete else spaces.actions
    return (8 if spaces.whole else 4) * row + 2 * 4 * columns


def _bytes_of_network(cfg: Config, spaces: Spaces | None) -> int:
    """Of the weights of the mlp, their gradient and the optimizer's mean square."""
    if spaces is None or spaces.image or spaces.images_within or cfg.network.torso not in ("auto", "mlp"):
        return 0
    if cfg.network.make is not None or cfg.network.encoders:  # the user's own: nobody knows yet
        return 0
    inputs, sizes = math.prod(spaces.obs_shape), cfg.network.hidden_sizes
    apart = not (cfg.network.shared_torso or cfg.network.memory)
    torsos = [sizes, *([cfg.network.value_hidden_sizes or sizes] if apart else [])]
    weights = sum(before * after for torso in torsos for before, after in itertools.pairwise([inputs, *torso]))
    if cfg.network.memory:
        gates, units = {"lstm": 4, "gru": 3}[cfg.network.memory], cfg.network.memory_size
        weights += gates * units * ([inputs, *sizes][-1] + units)
    return 3 * 4 * weights


def _state_size(cfg: Config) -> int:
    """Numbers that the network remembers of each environment."""
    return {None: 0, "lstm": 2, "gru": 1}[cfg.network.memory] * cfg.network.memory_size


def _spelled(settings: dict[str, Any]) -> str:
    shown = {key: f"{value:,}" if isinstance(value, int) else str(value) for key, value in settings.items()}
    return " ".join(f"{key}={value}" for key, value in shown.items())


def _text(size: int) -> str:
    """``1.5 GB``, ``320 MB``."""
    units = (("TB", 10**12), ("GB", 10**9), ("MB", 10**6), ("kB", 10**3))
    unit, one = next(((unit, one) for unit, one in units if size >= one), ("bytes", 1))
    return f"{max(0, size) / one:,.{1 if one > 1 and size < 100 * one else 0}f} {unit}"
