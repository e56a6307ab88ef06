"""What a recording says about an environment, and what to change: pure functions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from gymnasium.spaces import Box, Space

from a2c.envs.converting.actions import PackedActions
from a2c.envs.converting.images import LARGE as SMALL_BELOW
from a2c.envs.converting.masks import MaskedBox
from a2c.envs.converting.observations import FlatBox
from a2c.envs.examining.recording import Recording
from a2c.envs.remarks import MASKS
from a2c.settings.config import Config

GOOD, CHANGE, BROKEN = "good", "change", "broken"
LARGE = 10.0  # a number that a network takes badly: far from zero, or spread wider than this
APART = 100.0  # ratio of spreads between columns from which the small ones drown
FEW = 32  # bytes below this are seldom brightness
SAME_LENGTH = 3  # so many episodes of one length, none cut, are no accident


@dataclass(frozen=True, slots=True)
class Finding:
    """One line about the environment."""

    kind: str  # GOOD, CHANGE: it trains, but would better be changed; BROKEN: it does not train
    text: str


def findings(
    found: Recording, observation_space: Space[Any], action_space: Space[Any], cfg: Config
) -> Iterator[Finding]:
    """Everything that random play shows; what the settings take care of is good."""
    yield from about_episodes(found)
    yield from about_observations(found, observation_space, standardised=cfg.normalize_obs)
    yield from about_rewards(found.rewards, scaled=cfg.normalize_reward)
    yield from about_actions(action_space, within=cfg.policy.distribution in ("squashed", "beta"))
    masks = sorted(found.told.intersection(MASKS))
    if masks and not isinstance(observation_space, MaskedBox):
        yield Finding(CHANGE, f"infos offer {masks[0]!r}, which training does not use: make illegal actions harmless")


def about_episodes(found: Recording) -> Iterator[Finding]:
    """Whether episodes end, and by the right flag."""
    steps, lengths = len(found.rewards), found.lengths
    if not lengths:
        yield Finding(
            CHANGE,
            f"no episode ended in {steps:,} random steps: set a time limit with env.max_episode_steps, "
            "or evaluations cut episodes after eval.max_steps",
        )
        return
    counts = Counter(length for length, cut in zip(lengths, found.truncated, strict=True) if not cut)
    length, often = counts.most_common(1)[0] if counts else (0, 0)
    if often >= SAME_LENGTH and often == len(lengths) and length > 1:
        yield Finding(
            CHANGE,
            f"all {often} episodes were terminated after exactly {length} steps: if that is a time limit, return "
            "truncated=True instead, so that the value of what follows counts",
        )
    else:
        cut = sum(found.truncated)
        yield Finding(
            GOOD,
            f"{len(lengths)} episodes of {min(lengths)} to {max(lengths)} steps; {cut} were cut by a time limit",
        )


def about_observations(found: Recording, space: Space[Any], *, standardised: bool) -> Iterator[Finding]:
    """Whether observations are within their space, and on a scale that a network takes well."""
    if found.outside:
        yield Finding(
            CHANGE, f"{found.outside} of {len(found.rewards):,} observations are outside the bounds of their space"
        )
    if found.reused:
        yield Finding(GOOD, "it returns the same array at every step; training copies it, your own code may have to")
    if not isinstance(space, Box):
        return
    if space.dtype == np.uint8:
        yield from about_symbols(found.observations)
        return
    columns = found.observations.reshape(len(found.observations), -1).astype(np.float64)
    mean, std = columns.mean(0), columns.std(0)
    constant = np.flatnonzero(std == 0)
    if len(constant) and not (isinstance(space, FlatBox) and space.symbols):  # some symbols are rare
        yield Finding(CHANGE, f"{len(constant)} of {len(std)} numbers never changed (the first: {constant[0]})")
    spread = std[std > 0]
    far = np.abs(mean) + std > LARGE
    if far.any() or (len(spread) and spread.max() / spread.min() > APART):
        worst = int(np.argmax(np.abs(mean) + std))
        yield Finding(
            GOOD if standardised else CHANGE,
            f"observations are on very different scales (number {worst}: {mean[worst]:.4g} +- {std[worst]:.4g}, "
            f"spreads from {spread.min() if len(spread) else 0:.2g} to {spread.max() if len(spread) else 0:.2g}): "
            f"normalize_obs=true{' evens them out' if standardised else ''}",
        )
    else:
        yield Finding(GOOD, "observations are on a scale that a network takes well")


def about_symbols(images: np.ndarray) -> Iterator[Finding]:
    """Whether the bytes of small images ``[B, C, H, W]`` look like symbols of a grid."""
    most = images.max(axis=(0, 2, 3))
    if min(images.shape[-2:]) < SMALL_BELOW and 1 < most.max() < FEW:
        shown = ",".join(str(1 + int(one)) for one in most)
        yield Finding(
            CHANGE,
            f"the bytes of these small images are {most.max()} at most: if they are symbols of a grid, "
            f"env.symbols=[{shown}] makes them one-hot (count those that were not met, too)",
        )


def about_rewards(rewards: np.ndarray, *, scaled: bool) -> Iterator[Finding]:
    """Whether rewards say anything, and on what scale."""
    if np.ptp(rewards) == 0:
        kind, text = (
            (CHANGE, "every reward was 0: random play never meets one, so learning may not start; shape the reward")
            if rewards[0] == 0
            else (GOOD, f"every reward was {rewards[0]:g}: only the length of episodes tells good from bad")
        )
        yield Finding(kind, text)
        return
    largest = float(np.abs(rewards).max())
    shown = f"rewards from {rewards.min():.4g} to {rewards.max():.4g}, {np.mean(rewards != 0):.1%} of them not 0"
    if largest > LARGE and scaled:
        yield Finding(GOOD, f"{shown}: normalize_reward=true scales them")
    elif largest > LARGE:
        yield Finding(CHANGE, f"{shown}: normalize_reward=true, or env.clip_reward=true if only the sign matters")
    else:
        yield Finding(GOOD, shown)


def about_actions(space: Space[Any], *, within: bool) -> Iterator[Finding]:
    """Whether the first policy fits the bounds of continuous actions: one ``within`` them, or one around 0."""
    if not isinstance(space, Box):
        return
    low, high = np.asarray(space.low, np.float64), np.asarray(space.high, np.float64)
    if isinstance(space, PackedActions):
        low, high = low[space.continuous], high[space.continuous]
        if not len(low):
            return
    if not (np.isfinite(low).all() and np.isfinite(high).all()):
        yield Finding(CHANGE, "continuous actions have no bounds: give them some, or the policy may run away")
    elif not within and (
        (high > LARGE).any()
        or (low < -LARGE).any()
        or (high - low < 0.5).any()
        or (np.abs(high + low) > high - low).any()
    ):
        yield Finding(
            CHANGE,
            f"continuous actions lie in [{low.min():g}, {high.max():g}], but the first policy draws around 0 with "
            "spread 1: gymnasium.wrappers.RescaleAction to [-1, 1]",
        )
    else:
        yield Finding(GOOD, f"continuous actions lie in [{low.min():g}, {high.max():g}]")
