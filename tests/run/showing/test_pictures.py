"""Plots and videos of runs that ended well, badly or early; the statistics against hand-computed numbers."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from a2c.run.showing.curve import draw_curve
from a2c.run.showing.gif import record_gif
from a2c.run.showing.learning_curves import LearningCurve, align, draw_learning_curves
from a2c.run.showing.style import steps_label
from a2c.run.statistics import REDRAWN_AT_ONCE, bootstrap_interval, iqm, iqm_band, percentile_interval
from a2c.storage.metrics_file import MetricsFile


def test_the_interquartile_mean_leaves_out_a_quarter_at_either_end() -> None:
    assert iqm([1000, 1, 2, 3, 4, 5, 6, -1000]) == (2 + 3 + 4 + 5) / 4  # 8 scores: two are cut at either end
    assert iqm([5, 1, 9, 2, 100]) == (2 + 5 + 9) / 3  # 5 scores: floor(5/4) = 1 is cut
    assert iqm([1, 2, 6]) == 3  # 3 scores: none is cut
    assert iqm([[1, 2], [3, 100]]) == (2 + 3) / 2  # all scores together
    assert iqm([[1, 10], [2, 20], [3, 30], [90, 900]], axis=0).tolist() == [2.5, 25]


def test_the_interquartile_mean_of_nothing_is_an_error() -> None:
    with pytest.raises(ValueError, match="no scores"):
        iqm([])


def test_runs_that_agree_have_an_interval_of_no_width() -> None:
    assert bootstrap_interval([7.0] * 5) == (7.0, 7.0)
    assert bootstrap_interval([7.0]) == (7.0, 7.0)
    assert bootstrap_interval([[1.0, 4.0]], np.sum) == (5.0, 5.0)  # one run of two tasks


def test_the_interval_of_two_runs_is_known() -> None:
    # Of two runs, a resample is (0,0), (0,1), (1,0) or (1,1): means 0, 1/2, 1/2, 1 with chance 1/4, 1/2, 1/4.
    # The 5 % and 95 % quantiles are 0 and 1; the 30 % and 70 % ones are both 1/2.
    assert bootstrap_interval([0.0, 1.0], np.mean, confidence=0.9) == (0.0, 1.0)
    assert bootstrap_interval([0.0, 1.0], np.mean, confidence=0.4) == (0.5, 0.5)
    assert bootstrap_interval([0.0, 1.0], lambda runs: int(runs.sum()), confidence=0.4) == (1.0, 1.0)  # of integers


def test_the_bootstrap_redraws_within_each_task() -> None:
    # Every run of a task has the same score, so any redrawing within tasks changes nothing.
    scores = [[0.0, 10.0, 50.0]] * 4
    assert bootstrap_interval(scores, np.mean) == (20.0, 20.0)


def test_the_bootstrap_redraws_each_task_independently() -> None:
    runs = np.random.default_rng(2).normal(0, 1, 8)
    scores = np.stack([runs, -runs], axis=1)  # the mean is 0 in every resample that keeps the tasks of a run together
    rng = np.random.default_rng(3)
    naive = [np.mean([rng.choice(task, 8) for task in scores.T]) for _ in range(4000)]
    low, high = np.quantile(naive, [0.025, 0.975])
    assert bootstrap_interval(scores, np.mean, resamples=4000) == pytest.approx((low, high), abs=0.1 * (high - low))


def test_the_interval_narrows_with_runs_and_covers_the_truth() -> None:
    rng = np.random.default_rng(1)
    few, many = rng.normal(3, 1, 8), rng.normal(3, 1, 200)
    (low, high), (lower, higher) = bootstrap_interval(few), bootstrap_interval(many)
    assert low < iqm(few) < high
    assert lower < 3 < higher
    assert higher - lower < (high - low) / 2
    assert bootstrap_interval(few) == (low, high)  # the same seed gives the same interval
    assert bootstrap_interval(few, seed=1) != (low, high)


@pytest.mark.parametrize("confidence", [0.0, 1.0, 95.0])
def test_a_confidence_is_a_share(confidence: float) -> None:
    with pytest.raises(ValueError, match=r"must be in \(0, 1\)"):
        bootstrap_interval([1.0], confidence=confidence)
    with pytest.raises(ValueError, match=r"must be in \(0, 1\)"):
        iqm_band([[1.0, 2.0], [3.0, 4.0]], confidence=confidence)


@pytest.mark.parametrize("shape", [(0,), (0, 3), (3, 0)])
def test_no_scores_have_no_interval(shape: tuple[int, ...]) -> None:
    for interval in (bootstrap_interval, iqm_band):
        with pytest.raises(ValueError, match="at least one score"):
            interval(np.zeros(shape))


def test_the_band_of_a_curve_is_the_interval_of_each_point() -> None:
    curves = np.array([[0.0, 5.0], [0.0, 6.0], [0.0, 7.0], [0.0, 100.0]])
    middle, low, high = iqm_band(curves)
    assert middle.tolist() == [0.0, 6.5]
    assert low[0] == high[0] == 0.0
    assert 5 <= low[1] < 6.5 < high[1] <= 100
    assert [part.tolist() for part in iqm_band(curves[:1])] == [[0.0, 5.0]] * 3  # of one run


def test_the_band_redraws_the_same_runs_for_every_point() -> None:
    first = np.random.default_rng(4).normal(0, 1, 9)
    middle, low, high = iqm_band(np.stack([first, -first, first + 1], axis=1))
    assert low[0] < high[0]
    assert middle == pytest.approx([middle[0], -middle[0], middle[0] + 1])
    assert low == pytest.approx([low[0], -high[0], low[0] + 1])
    assert high == pytest.approx([high[0], -low[0], high[0] + 1])


def test_the_resamples_in_memory_are_limited() -> None:
    sizes = []

    def last(runs: np.ndarray, axis: int = 0) -> np.ndarray:
        sizes.append(runs.size)
        return runs.take(-1, axis)

    percentile_interval([np.zeros((20, 500))], last, confidence=0.95, resamples=2000, seed=0)
    assert max(sizes) <= REDRAWN_AT_ONCE
    assert sum(sizes) == 2000 * 20 * 500


def test_runs_measured_at_other_steps_hold_their_last_score() -> None:
    runs = [([10, 20, 30], [1.0, 2.0, 3.0]), ([15, 30], [5.0, 6.0])]
    assert align(runs, [10, 20, 29, 30, 40]).tolist() == [[1, 2, 2, 3, 3], [5, 5, 5, 6, 6]]


def run_folder(tmp_path: Path, rows: list[dict[str, Any]], summary: dict[str, Any] | None = None) -> Path:
    folder = tmp_path / "CartPole-v1" / "run"
    folder.mkdir(parents=True)
    file = MetricsFile(folder / "metrics.jsonl")
    for row in rows:
        file.append(row)
    file.close()
    if summary is not None:
        (folder / "summary.json").write_text(json.dumps(summary))
    return folder


FULL = {"env_id": "CartPole-v1", "seed": 0, "env_steps": 200, "wall_time": 65.2, "reward_threshold": 475.0}


@pytest.mark.parametrize(
    ("rows", "summary"),
    [
        ([], None),
        ([{"global_step": 100}], None),
        ([{"global_step": 100, "rollout/ep_rew_mean": None, "train/entropy": float("nan")}], FULL),
        ([{"global_step": 100, "rollout/ep_rew_mean": 9.0}], FULL | {"reward_threshold": None}),
        (
            [
                {"global_step": 100, "rollout/ep_rew_mean": 9.0, "train/entropy": 0.6, "eval/mean_reward": 8.0},
                {"global_step": 200, "eval/mean_reward": 9.0, "eval/std_reward": 1.0, "train/explained_variance": -9.0},
            ],
            FULL | {"eval_mean": 9.0, "eval_std": 1.0},
        ),
    ],
    ids=["no rows", "no episodes", "not finite", "one episode", "all"],
)
def test_any_run_has_a_curve(tmp_path: Path, rows: list[dict[str, Any]], summary: dict[str, Any] | None) -> None:
    folder = run_folder(tmp_path, rows, summary)
    path = draw_curve(folder)
    assert path == folder / "curve.png"
    with Image.open(path) as image:
        assert image.size == (1040, 728)
    expected = {"metrics.jsonl", "curve.png"} | ({"summary.json"} if summary else set())
    assert {entry.name for entry in folder.iterdir()} == expected


def test_a_curve_shows_its_rows(tmp_path: Path) -> None:
    rows = [{"global_step": step, "rollout/ep_rew_mean": float(step)} for step in range(0, 1000, 10)]
    rising = draw_curve(run_folder(tmp_path / "a", rows, FULL)).read_bytes()
    again = draw_curve(run_folder(tmp_path / "b", rows, FULL)).read_bytes()
    falling = [row | {"rollout/ep_rew_mean": -row["rollout/ep_rew_mean"]} for row in rows]
    assert rising == again  # the same run, the same bytes
    assert rising != draw_curve(run_folder(tmp_path / "c", falling, FULL)).read_bytes()
    assert rising != draw_curve(run_folder(tmp_path / "d", rows, FULL | {"reward_threshold": 99.0})).read_bytes()


def test_drawing_leaves_pyplot_alone(tmp_path: Path) -> None:
    draw_curve(run_folder(tmp_path, [{"global_step": 1, "rollout/ep_rew_mean": 1.0}]))
    pyplot = sys.modules.get("matplotlib.pyplot")
    assert pyplot is None or not pyplot.get_fignums()


@pytest.mark.parametrize(
    ("value", "label"), [(0, "0"), (500, "500"), (50_000, "50k"), (1_500_000, "1.5M"), (10_000_000, "10M")]
)
def test_steps_are_labelled_short(value: float, label: str) -> None:
    assert steps_label(value) == label


def test_learning_curves_draw_a_panel_an_environment(tmp_path: Path) -> None:
    curve = LearningCurve(
        env_steps=[0, 1, 2], scores=[[0, 1, 2], [0, 2, 4]], floor=1.0, aim=None, known=("RL Zoo", 3.0)
    )
    path = draw_learning_curves({"A": curve, "B": curve, "C": curve, "D": curve}, tmp_path / "learning.png")
    with Image.open(path) as image:
        assert image.size == (round(4.4 * 3 * 130), round(3.2 * 2 * 130))


def test_scores_that_do_not_match_their_steps_are_refused(tmp_path: Path) -> None:
    curve = LearningCurve(env_steps=[0, 1], scores=[[0, 1, 2]], floor=None, aim=None, known=None)
    with pytest.raises(ValueError, match=r"A: scores of shape \(1, 3\) do not match 2 steps"):
        draw_learning_curves({"A": curve}, tmp_path / "learning.png")
    with pytest.raises(ValueError, match="no learning curves"):
        draw_learning_curves({}, tmp_path / "learning.png")


def sliding(count: int, height: int = 40, width: int = 60) -> list[np.ndarray]:
    """A white field with a black bar that moves one pixel a frame."""
    frames = []
    for index in range(count):
        frame = np.full((height, width, 3), 255, dtype=np.uint8)
        frame[:, index % width] = 0
        frames.append(frame)
    return frames


def test_a_video_has_every_frame_at_its_rate_and_runs_for_ever(tmp_path: Path) -> None:
    path = record_gif(sliding(10), tmp_path / "agent.gif", fps=25)
    with Image.open(path) as image:
        assert (image.n_frames, image.size, image.info["loop"]) == (10, (60, 40), 0)  # type: ignore[attr-defined]
        for index in range(10):
            image.seek(index)
            assert image.info["duration"] == 40  # 1/25 s
            assert np.array_equal(np.asarray(image.convert("RGB")), sliding(10)[index])
    assert [entry.name for entry in tmp_path.iterdir()] == ["agent.gif"]


def test_a_long_video_is_thinned_and_keeps_its_speed(tmp_path: Path) -> None:
    path = record_gif(sliding(100), tmp_path / "agent.gif", fps=25, max_frames=40)  # every third frame, for 3/25 s
    with Image.open(path) as image:
        assert image.n_frames == 34  # type: ignore[attr-defined]
        assert image.info["duration"] == 120


def test_a_fast_recording_keeps_to_what_players_can_show(tmp_path: Path) -> None:
    path = record_gif(sliding(40), tmp_path / "agent.gif", fps=100)  # 10 ms a frame would be played at 100 ms
    with Image.open(path) as image:
        assert (image.n_frames, image.info["duration"]) == (20, 20)  # type: ignore[attr-defined]


def test_a_large_picture_is_scaled_down_in_proportion(tmp_path: Path) -> None:
    path = record_gif(sliding(2, height=400, width=600), tmp_path / "agent.gif", fps=25)
    with Image.open(path) as image:
        assert image.size == (480, 320)
    path = record_gif(sliding(2, height=400, width=600), tmp_path / "small.gif", fps=25, max_width=240)
    with Image.open(path) as image:
        assert image.size == (240, 160)


def test_grey_frames_are_fine(tmp_path: Path) -> None:
    path = record_gif([frame[..., 0] for frame in sliding(3)], tmp_path / "agent.gif", fps=25)
    with Image.open(path) as image:
        assert image.n_frames == 3  # type: ignore[attr-defined]


@pytest.mark.parametrize(("frames", "fps"), [(0, 25.0), (3, 0.0)])
def test_a_video_needs_frames_and_a_rate(tmp_path: Path, frames: int, fps: float) -> None:
    with pytest.raises(ValueError, match="frames and a positive rate"):
        record_gif(sliding(frames), tmp_path / "agent.gif", fps=fps)


@pytest.mark.slow
def test_a_full_cartpole_episode_is_a_small_file(tmp_path: Path) -> None:
    gymnasium = pytest.importorskip("gymnasium")
    pytest.importorskip("pygame")
    env = gymnasium.make("CartPole-v1", render_mode="rgb_array")
    env.reset(seed=0)
    frames = []
    while len(frames) < 500:
        _, _, terminated, _, _ = env.step(env.action_space.sample())
        frames.append(env.render())
        if terminated:
            env.reset()
    env.close()
    assert record_gif(frames, tmp_path / "agent.gif", fps=50).stat().st_size < 2_000_000
