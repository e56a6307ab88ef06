"""Everything that `a2c doctor` looks at, in the order in which it says it."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
from gymnasium.utils.env_checker import check_env

from a2c.envs.choosing.plan import plan
from a2c.envs.converting.masks import AUTO, INFO, MaskedBox, offers_mask
from a2c.envs.examining.findings import BROKEN, CHANGE, GOOD, Finding, findings
from a2c.envs.examining.recording import Env, first_difference, record
from a2c.envs.foreign import close_in_time, named_failure, users_own
from a2c.envs.look import decided_by, env_as_read
from a2c.envs.rebuilding.origins import RENEW, REPLAY, RESTART, STATE
from a2c.envs.rebuilding.trial import try_out_watched
from a2c.envs.single.make_env import make_env
from a2c.envs.spaces import spaces_of
from a2c.errors import A2CError, EnvironmentFailure, NumericError
from a2c.settings.config import Config

STEPS, SECONDS = 20_000, 5.0  # of random play, at most
RESUMES = {
    REPLAY: "it plays its episodes again",
    RENEW: "every episode begins in a new instance, since old ones keep something, and it plays them again",
    STATE: "it plays its episodes again from what get_state gives before them",
}
# What Gymnasium's checker says of many a sound environment, or what we look at ourselves, by what it does.
OURS = ("value is -infinity", "value is infinity", "symmetric and normalized space")


def examine(cfg: Config) -> Iterator[Finding]:
    """Examine the environment of these settings.

    Raises:
        ConfigError: it cannot be made, or its spaces are not supported.
        EnvironmentFailure: its constructor raised.
    """
    env, cfg = _as_trained(cfg)
    make = partial(make_env, cfg.env)
    try:
        space: Any = env.observation_space
        masked = isinstance(space, MaskedBox)
        shown = space.converted if masked else space
        actions = getattr(env.action_space, "original", env.action_space)
        yield Finding(GOOD, f"observations {list(shown.shape or ())} {shown.dtype}; actions {actions}")
        if masked:  # Gymnasium's checker would play what it forbids
            yield Finding(GOOD, "a mask of legal actions, which training uses")
        else:
            yield from _by_gymnasium(env)
        try:
            deterministic = _determinism(first_difference(make, 1000, SECONDS / 3))
            yield deterministic
            if cfg.vectorization not in ("native", "device"):  # there the vector environment decides
                resume = _resume(env, None if cfg.eval.episodes == 0 else make)
                if GOOD in (deterministic.kind, resume.kind):  # one thing to change at a time
                    yield resume
            found = record(env, STEPS, SECONDS)
        except (EnvironmentFailure, NumericError) as error:
            yield Finding(BROKEN, "\n".join([str(error), *getattr(error, "__notes__", [])]))
            return
        yield from findings(found, env.observation_space, env.action_space, cfg)
        yield Finding(GOOD, f"{len(found.rewards) / found.seconds:,.0f} steps/s with random actions, one environment")
        yield Finding(GOOD, f"num_envs={cfg.num_envs}: {plan(cfg).why}")
    finally:
        close_in_time(env.close, cfg.env.id)


def _as_trained(cfg: Config) -> tuple[Env, Config]:
    """The environment as training makes it, which finds masks in infos by a first look, and the settings for more."""
    cfg = replace(cfg, env=env_as_read(cfg))
    env = make_env(cfg.env)
    if cfg.env.masks == AUTO and offers_mask(env, 0):
        close_in_time(env.close, cfg.env.id)
        cfg = replace(cfg, env=replace(cfg.env, masks=INFO))
        env = make_env(cfg.env)
    return env, decided_by(spaces_of(env.observation_space, env.action_space), cfg)


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


def _resume(env: Env, make: Callable[[], Env] | None) -> Finding:
    """How a resumed run would get back to where its episodes were, by the trial that training makes."""
    try:
        found = try_out_watched(env, make, 0, np.zeros(1, np.int64))
    except A2CError:
        raise
    except Exception as error:
        raise named_failure(error, "the environment", "the trial of exact resume") from None
    if found.kind != RESTART:
        return Finding(GOOD, f"a resumed run goes on exactly: {RESUMES[found.kind]}")
    return Finding(
        CHANGE,
        f"episodes in flight start over in a resumed run ({found.why}): draw all random numbers from self.np_random, "
        "let nothing else outlive an episode, or offer get_state() and set_state(state)",
    )


def _one_line(message: object) -> str:
    plain = re.sub(r"\x1b\[[0-9;]*m", "", str(message))
    return " ".join(plain.removeprefix("WARN: ").split())[:300]
