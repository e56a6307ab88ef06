"""The claim on decorrelation: batches are drawn as they are called, and every verdict can come out."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from a2c.settings.compose import load_config
from a2c.study.batches import trained
from a2c.study.claim import Data, Verdict
from a2c.study.claims.decorrelation import CLAIM, KINDS, sizes
from a2c.study.measures.series import size_within_stream
from a2c.study.record import as_stored
from a2c.study.streams import SCALARS, Draws, record

from .stubs import settings
from .test_series import PHI, ar1


@pytest.fixture
def draws() -> Draws:
    return Draws(streams=64, count=2000, num_envs=16, n_step=5, random=np.random.default_rng(0))


def test_batches_of_one_environment_are_steps_in_a_row(draws: Draws):
    batch = draws.one(200, 600)
    assert (batch.times.shape, batch.envs.shape, batch.length) == ((2000, 1), (2000, 1), 80)
    assert batch.times.min() == 200
    assert batch.times.max() == 520  # its last step is 599
    assert set(batch.times.ravel() % 5) == {0}


def test_batches_of_many_environments_are_of_different_ones_at_one_time(draws: Draws):
    batch = draws.many(200, 600)
    assert (batch.times.min(), batch.times.max(), batch.length) == (200, 595, 5)
    assert np.ptp(batch.times, axis=1).max() == 0
    assert all(len(set(row)) == 16 for row in batch.envs)


def test_staggered_environments_are_each_at_a_time_of_their_own(draws: Draws):
    batch = draws.many(0, 50, spread=100)
    assert (batch.times.min(), batch.times.max()) == (0, 145)
    assert np.ptp(batch.times, axis=1).min() > 0
    assert set(batch.times.ravel() % 5) == {0}


def test_a_memory_gives_steps_of_one_environment_in_any_order(draws: Draws):
    batch = draws.replay(200, 600)
    assert (batch.times.shape, batch.envs.shape, batch.length) == ((2000, 80), (2000, 1), 1)
    assert (batch.times.min(), batch.times.max()) == (200, 599)


def test_sizes_of_a_known_series_are_known(draws: Draws):
    series = ar1(3000, 64)
    series[:120] = 2.0  # all start alike, two standard deviations from the mean
    found = sizes(series, draws)
    rho = PHI ** np.arange(80)
    one, piece = size_within_stream(rho, 80), size_within_stream(rho, 5)
    assert found["size"]["one"] == pytest.approx(one, rel=0.15)
    assert found["from_rho"] == pytest.approx(one, rel=0.15)
    assert found["size"]["many"] == pytest.approx(16 * piece, rel=0.1)  # 16 pieces that know nothing of each other
    # A memory of 2000 steps is worth 2000 (1 - phi) / (1 + phi) = 222 samples, a draw of 80 from it 1 / (1/80 + 1/222).
    assert found["size"]["replay"] == pytest.approx(1 / (1 / 80 + 1 / 222), rel=0.15)
    assert found["size"]["together"] == pytest.approx(1 / 4, rel=0.05)
    assert found["size"]["staggered"] > 4 * found["size"]["together"]
    assert found["by_age"]["together"][5] == pytest.approx(16 * piece, rel=0.2)  # long over


def test_what_is_recorded_begins_with_a_reset_of_all():
    cfg = load_config("env=cartpole_study", "vectorization=sync", "device=cpu", "n_step=5", "total_steps=80")
    found = record(trained(cfg), cfg, streams=6, steps=20)
    assert tuple(found) == SCALARS
    assert all(series.shape == (20, 6) for series in found.values())
    distance = found["distance of the cart from the centre"]
    assert (distance[0] <= 0.05).all()
    assert (distance >= 0).all()
    assert len(set(distance[0])) == 6


def made_up(spread: float = 0.01, **of_scalars: dict[str, float]) -> Data:
    """Three seeds that agree up to 1 %, or up to ``spread``; effective sizes of each kind, in the order of SCALARS."""

    def run(factor: float) -> Data:
        return {
            scalar: {
                "rho": [1.0, 0.5, 0.1],
                "from_rho": found["one"],
                "size": {kind: found[kind] * factor ** (place + 1) for place, kind in enumerate(KINDS)},
                "ages": [25.0, 75.0],
                "by_age": {"together": [4.0, 16.0 * factor], "staggered": [16.0, 16.0 * factor]},
            }
            for scalar, found in zip(SCALARS, of_scalars.values(), strict=True)
        }

    return {"memory": 2000, "runs": [run(factor) for factor in (1 - spread, 1.0, 1 + spread)]}


GOOD = {"one": 2.0, "replay": 30.0, "many": 16.0, "together": 16.0, "staggered": 16.0}
SYNCHRONISED = GOOD | {"together": 3.0}
WORSE = GOOD | {"many": 1.0, "together": 1.0}


def test_more_from_many_at_all_times_is_supported():
    assert CLAIM.judge(made_up(a=GOOD, b=GOOD, c=GOOD)).verdict is Verdict.SUPPORTED


def test_a_common_reset_that_undoes_it_is_a_condition_and_is_named():
    judgement = CLAIM.judge(made_up(a=GOOD, b=SYNCHRONISED, c=GOOD))
    assert judgement.verdict is Verdict.CONDITIONAL
    assert f"Smaller just after a common reset for: {SCALARS[1]}." in judgement.why
    assert "different phases" in judgement.why


def test_a_common_reset_with_a_wide_interval_is_undecided_and_so_not_supported():
    judgement = CLAIM.judge(made_up(spread=0.2, a=GOOD, b=GOOD, c=GOOD))
    loss = {number.name: number for number in judgement.numbers}[
        f"{SCALARS[0]}: just reset together against long after"
    ]
    assert loss.low < 0.8 < 1.0 < loss.high
    assert judgement.verdict is Verdict.CONDITIONAL
    assert f"Harmless for: none. Undecided for: {', '.join(SCALARS)}." in judgement.why


def test_a_small_but_certain_loss_after_a_common_reset_is_a_loss():
    judgement = CLAIM.judge(made_up(a=GOOD, b=GOOD | {"together": 14.0}, c=GOOD))
    assert judgement.verdict is Verdict.CONDITIONAL
    assert f"Smaller just after a common reset for: {SCALARS[1]}." in judgement.why
    assert f"Harmless for: {SCALARS[0]}, {SCALARS[2]}. Undecided for: none." in judgement.why


def test_effective_sizes_are_told_against_the_size_of_the_batch():
    why = CLAIM.judge(made_up(a=GOOD, b=GOOD, c=GOOD)).why
    assert f"16 against 2 ({SCALARS[0]})" in why
    assert "80 would be no correlation at all" in why


def test_gains_that_seeds_disagree_on_are_not_supported():
    data = made_up(a=GOOD, b=GOOD, c=GOOD)
    for run, many in zip(data["runs"], (0.5, 2.0, 16.0), strict=True):
        for found in run.values():
            found["size"]["many"] = many
    assert CLAIM.judge(data).verdict is Verdict.NOT_SUPPORTED


def test_more_for_some_quantities_only_is_a_condition():
    judgement = CLAIM.judge(made_up(a=GOOD, b=GOOD, c=WORSE))
    assert judgement.verdict is Verdict.CONDITIONAL
    assert f"Smaller, against the claim, for: {SCALARS[2]}." in judgement.why


def test_less_from_many_is_not_supported():
    assert CLAIM.judge(made_up(a=WORSE, b=WORSE, c=WORSE)).verdict is Verdict.NOT_SUPPORTED


def test_a_tiny_study_measures_judges_and_draws(tmp_path: Path):
    data = as_stored(CLAIM.measure(settings(tmp_path, scale=0.02)))
    assert len(data["runs"]) == 2
    assert CLAIM.judge(data).why
    assert len(CLAIM.draw(data).findobj(lambda artist: artist.__class__.__name__ == "Axes")) == 3
