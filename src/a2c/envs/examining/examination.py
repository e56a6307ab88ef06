"""Everything that `a2c doctor` looks at, in the order in which it says it."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator
from functools import partial

from gymnasium.utils.env_checker import check_env

from a2c.envs.choosing.plan import plan
from a2c.envs.examining.findings import BROKEN, CHANGE, GOOD, Finding, findings
from a2c.envs.examining.recording import Env, first_difference, record
from a2c.envs.foreign import close_in_time, users_own
from a2c.envs.single.make_env import make_env
from a2c.errors import EnvironmentFailure, NumericError
from a2c.settings.config import Config

STEPS, SECONDS = 20_000, 5.0  # of random play, at most
# What Gymnasium's checker says of many a sound environment, or what we look at ourselves, by what it does.
OURS = ("value is -infinity", "value is infinity", "symmetric and normalized space")


def examine(cfg: Config) -> Iterator[Finding]:
    """Examine the environment of these settings.

    Raises:
        ConfigError: it cannot be made, or its spaces are not supported.
        EnvironmentFailure: its constructor raised.
    """
    make = partial(make_env, cfg.env)
    env = make()
    try:
        shape, dtype = env.observation_space.shape, env.observation_space.dtype
        yield Finding(GOOD, f"observations {list(shape or ())} {dtype}; actions {env.action_space}")
        yield from _by_gymnasium(env)
        try:
            yield _determinism(first_difference(make, 1000, SECONDS / 3))
            found = record(env, STEPS, SECONDS)
        except (EnvironmentFailure, NumericError) as error:
            yield Finding(BROKEN, "\n".join([str(error), *getattr(error, "__notes__", [])]))
            return
        yield from findings(found, env.observation_space, env.action_space)
        yield Finding(GOOD, f"{len(found.rewards) / found.seconds:,.0f} steps/s with random actions, one environment")
        yield Finding(GOOD, f"num_envs={cfg.num_envs}: {plan(cfg).why}")
    finally:
        close_in_time(env.close, cfg.env.id)


def _by_gymnasium(env: Env) -> Iterator[Finding]:
    """What Gymnasium's own checker says of the environment itself, without the wrappers of training."""
    said: list[str] = []
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        try:
            check_env(env.unwrapped, skip_render_check=True, skip_close_check=True)
        except BaseException as error:  # it stops at the first mistake; whether training minds, our own checks say
            if users_own(error):
                raise
            said.append(_one_line(error))
    said += [_one_line(warning.message) for warning in told]
    texts = [text for text in dict.fromkeys(said) if not any(known in text for known in OURS)]
    yield from (Finding(CHANGE, f"Gymnasium's checker: {text}") for text in texts)
    if not texts:
        yield Finding(GOOD, "it keeps Gymnasium's API")


def _determinism(difference: str | None) -> Finding:
    if difference is None:
        return Finding(GOOD, "equal seeds and actions give equal episodes")
    return Finding(
        CHANGE,
        f"equal seeds and actions give other numbers from {difference} on: draw all random numbers from "
        "self.np_random, and let reset(seed=...) set up everything anew",
    )


def _one_line(message: object) -> str:
    plain = re.sub(r"\x1b\[[0-9;]*m", "", str(message))
    return " ".join(plain.removeprefix("WARN: ").split())[:300]
