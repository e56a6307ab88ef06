"""The benchmarks: their arithmetic, what they write and show, and that they run. No test looks at a clock."""

from __future__ import annotations

import io
import json
import math
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from rich.console import Console

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))  # scripts, not a package

import before_after
import catch
import envpool_speed
import evaluation_apart
import launches
import our_speed
import precision
import processes
import quiet
import rounds
import scaling
import speed
import speed_report
import turns
import works
from processes import MeasurementError
from quiet import Quiet
from time_to_score import Goal, train_until

from a2c.api import load_config
from a2c.build import make_envs
from a2c.settings.auto_values import PAPER, undecided


def measured(*speeds: float) -> list[dict[str, Any]]:
    """Rounds as our_speed.py prints them."""
    share = {"env": 0.5, "act": 0.2, "update": 0.3}
    return [{"steps_per_second": value, "share": share} for value in speeds]


def fake_rows() -> dict[str, Any]:
    """One row with everything, one without the peer, one skipped."""
    origin = {"rounds": 3, "device": "cpu", "machine": {"cpu": "Fast 1", "gpu": None, "cores": 2}}
    ours, theirs = measured(3000.0, 8000.0, 6000.0), measured(1000.0, 2000.0, 2000.0)
    full = {
        "floor": 3.0,
        "aim": 4.5,
        **speed.row(ours, theirs),
        "limit": speed.speed_of(measured(20_000.0)),
        "sb3": {"choice": "dummy, 1 thread", **speed.speed_of(theirs)},
    }
    alone = full | speed.row(ours, None) | {"limit": {}, "sb3": {"skipped": "No module named 'stable_baselines3'"}}
    del alone["ratio"]
    rows = {"cartpole-16": full, "cartpole-128": alone, "pong-16-bf16": {"skipped": "no setting 'precision'"}}
    return {"rows": {name: origin | row for name, row in rows.items()}}


def test_the_ratio_is_of_pairs_and_not_of_medians() -> None:
    # 30/10 = 3, 80/20 = 4, 60/60 = 1: median 3; the ratio of the medians would be 60/20 = 3 only by luck, so:
    # medians of 30, 80, 60 and 10, 20, 60 are 60 and 20; of the pairs 3, 4, 1 the lowest is 1 and the highest 4.
    pairs = rounds.paired_ratios([30, 80, 60], [10, 20, 60])
    assert pairs == [3, 4, 1]
    assert rounds.spread(pairs) == {"median": 3, "low": 1, "high": 4}
    # A slow machine in round 2 (both half as fast) changes the medians and no ratio.
    assert rounds.paired_ratios([30, 15, 30], [10, 5, 10]) == [3, 3, 3]


def test_a_round_without_its_pair_is_refused() -> None:
    with pytest.raises(ValueError, match="shorter"):
        rounds.paired_ratios([1.0, 2.0], [1.0])


def test_the_slope_of_a_power_law_is_its_exponent() -> None:
    assert math.isclose(rounds.loglog_slope([1, 4, 16], [3, 6, 12]), 0.5)  # doubles when the size is fourfold
    assert math.isclose(rounds.loglog_slope([1, 10, 100], [7, 70, 700]), 1.0)


def test_measurements_take_turns_and_the_order_turns_too() -> None:
    seen: list[str] = []

    def measure(name: str) -> Callable[[], int]:
        return lambda: seen.append(name) or len(seen)

    found, failures = rounds.take_turns({"A": measure("A"), "B": measure("B")}, 3, lambda: seen.append("-"))
    assert "".join(seen) == "-AB-BA-AB"
    assert found == {"A": [2, 6, 8], "B": [3, 5, 9]}
    assert failures == {}


def test_a_failed_measurement_is_named_and_not_tried_again() -> None:
    tries = []

    def fail() -> int:
        tries.append(1)
        raise MeasurementError("no such package")

    found, failures = rounds.take_turns({"A": fail, "B": lambda: 1}, 3)
    assert found == {"B": [1, 1, 1]}
    assert failures == {"A": "no such package"}
    assert len(tries) == 1


def test_the_fastest_configuration_is_kept_and_the_failed_ones_are_told() -> None:
    def fail() -> dict[str, float]:
        raise MeasurementError("no such package")

    tries = {"slow": lambda: {"steps_per_second": 1.0}, "fast": lambda: {"steps_per_second": 2.0}, "broken": fail}
    assert rounds.fastest(tries) == ("fast", {"slow": 1.0, "fast": 2.0}, {"broken": "no such package"})
    with pytest.raises(MeasurementError, match="no such package"):
        rounds.fastest({"broken": fail})


def test_a_busy_moment_does_not_choose_the_peers_configuration() -> None:
    looks = {"better": iter([70.0, 95.0, 90.0]), "lucky": iter([100.0, 80.0, 80.0]), "far": iter([50.0])}
    tries = {name: lambda speeds=speeds: {"steps_per_second": next(speeds)} for name, speeds in looks.items()}
    assert rounds.fastest(tries)[:2] == ("better", {"better": 90.0, "lucky": 80.0, "far": 50.0})


def test_a_busy_machine_is_told_and_recorded(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(quiet.os, "getloadavg", lambda: (0.0, 0.0, 0.0))
    monkeypatch.setattr(quiet, "share_of_others", lambda: 0.01)
    monkeypatch.setattr(quiet, "spin", lambda: (0.010, 0.010))
    watch = Quiet()
    watch.look()
    assert (watch.busy, capsys.readouterr().out) == (0, "")
    monkeypatch.setattr(quiet, "share_of_others", lambda: 0.5)
    monkeypatch.setattr(quiet, "spin", lambda: (0.030, 0.020))  # waited 10 ms, and computed twice as long
    watch.look()
    assert watch.busy == 1
    assert len(watch.looks[1]["busy"]) == 3
    assert "others use 50% of the cores" in capsys.readouterr().out


def test_rows_hold_medians_pairs_and_shares() -> None:
    row = fake_rows()["rows"]["cartpole-16"]
    assert row["ours"]["steps_per_second"] == {"median": 6000.0, "low": 3000.0, "high": 8000.0}
    assert row["ratio"] == {"median": 3.0, "low": 3.0, "high": 4.0, "pairs": [3.0, 4.0, 3.0]}
    assert row["share"] == {"env": 0.5, "act": 0.2, "update": 0.3}


def test_the_table_shows_every_row_and_why_one_is_missing() -> None:
    console = Console(width=160, file=io.StringIO())
    with console.capture() as captured:
        speed_report.show(fake_rows(), console)
    text = " ".join(captured.get().split())
    assert "6k │ 2k (dummy, 1 thread) │ 3.00 [3.00-4.00]" in text
    assert "3.0 / 4.5" in text
    assert "50% / 20% / 30%" in text
    assert "CartPole N=128: no figure of Stable-Baselines3: No module named 'stable_baselines3'" in text
    assert "Pong N=16, bf16: skipped: no setting 'precision'" in text


def test_the_chart_is_drawn_from_what_is_stored(tmp_path: Path) -> None:
    processes.store(tmp_path / "speed_cpu.json", fake_rows())
    chart = speed_report.draw(processes.stored(tmp_path / "speed_cpu.json"), tmp_path / "speed_cpu.png")
    assert chart.read_bytes().startswith(b"\x89PNG")


def test_every_way_is_a_way_to_a_work_with_settings_that_exist() -> None:
    for name, way in works.WAYS.items():
        if works.missing_setting(way) is None:
            cfg = load_config(*works.settings(way, "cpu"))
            assert (cfg.num_envs, cfg.n_step) == (works.WORKS[way.work].num_envs, 5), name
            assert cfg.network.hidden_sizes == [64, 64]
    unknown = works.Way("pong-16", "", ("no_such.setting=1",))
    assert works.missing_setting(unknown) == "a2c has no setting 'no_such'"


def test_growth_is_of_the_cost_of_an_update_and_networks_count_their_weights() -> None:
    def point(cost: float, weights: int) -> dict[str, Any]:
        return {"overhead_us_per_update": cost, "peak_rss_mb": 100.0, "peak_gpu_mb": None, "weights": weights}

    points = {"32": point(10.0, 100), "64": point(20.0, 200), "128": point(80.0, 400)}
    found = scaling.growth("hidden", points)
    # log2 of the cost rises by 1, then by 2, while that of the weights rises by 1 and 1: slope 1.5, steepest 2.
    assert math.isclose(found["overhead"]["slope"], 1.5)
    assert math.isclose(found["overhead"]["steepest"], 2.0)
    assert not found["overhead"]["linear_at_most"]
    assert found["memory"] == {"slope": 0.0, "slope_of_large": 0.0, "steepest": 0.0, "linear_at_most": True}


def test_overhead_is_the_time_that_is_not_the_environments() -> None:
    one = {"seconds": 2.0, "updates": 100, "share": {"env": 0.75}, "n_step": 5, "num_envs": 10, "weights": 1}
    point = scaling.costs([one | {"steps_per_second": 2500.0, "peak_rss_mb": 300.0, "peak_gpu_mb": None}])
    # a quarter of 2 s over 100 updates: 5 ms each; 1 ms for each of 5 steps; 100 us for each of 10 environments
    assert math.isclose(point["overhead_us_per_update"], 5000.0)
    assert math.isclose(point["overhead_us_per_step"], 1000.0)
    assert math.isclose(point["overhead_us_per_env_step"], 100.0)


def test_launches_are_counted_in_their_section_and_operators_once() -> None:
    def event(name: str, start: float, end: float, parent: Any = None, device: str = "CPU") -> Any:
        span = SimpleNamespace(start=start, end=end)
        return SimpleNamespace(name=name, time_range=span, cpu_parent=parent, device_type=SimpleNamespace(name=device))

    outer = event("aten::linear", 1, 5)
    events = [
        event(launches.COLLECT, 0, 10),
        event(launches.UPDATE, 10, 20),
        outer,
        event("aten::addmm", 2, 4, outer),  # inside of linear
        event("cudaLaunchKernel", 3, 3.5),
        event("cudaStreamSynchronize", 6, 7),
        event("cudaGraphLaunch", 12, 13),
        event("cudaGraphLaunch", 12, 13, device="CUDA"),  # its shadow on the device
        event("cudaDeviceSynchronize", 21, 22),  # the profiler's own, at its end
    ]
    none = dict.fromkeys(launches.KINDS, 0)
    assert launches.count(events, launches.COLLECT) == none | {"operators": 1, "kernel_launches": 1, "waits": 1}
    assert launches.count(events, launches.UPDATE) == none | {"graph_launches": 1}


def test_a_script_that_fails_says_why() -> None:
    with pytest.raises(MeasurementError, match="--rounds 2 is even"):
        processes.measure("vector_environment.py", "--rounds=2")


def test_our_measurements_run() -> None:
    cfg = load_config(
        "env.id=CartPole-v1", "algo=a2c_paper", "num_envs=2", "device=cpu", "vectorization=sync", "threads=1"
    )
    found = our_speed.measure_learning(cfg, seconds=0.05)
    assert found["steps"] == found["updates"] * 2 * 5  # sync resets in the same step: every row is a transition
    assert math.isclose(sum(found["share"].values()), 1.0)
    assert json.loads(json.dumps(found)) == found
    assert our_speed.measure_random(cfg, seconds=0.01)["steps_per_second"] > 0


def test_a_run_that_ends_short_of_its_goal_is_a_failure() -> None:
    with pytest.raises(MeasurementError, match=r"short of the goal: .*no_such"):
        train_until(Goal("rollout/ep_rew_mean", 1.0), ["no_such=1"], limit=30)


def test_the_speed_of_plain_a2c_does_not_follow_the_defaults() -> None:
    assert {text.partition("=")[0] for text in works.SAME_WORK} >= PAPER.keys()
    assert undecided(load_config("env.id=Any-v0", *works.SAME_WORK)) == []


def test_an_earlier_checkout_gets_only_the_settings_that_it_has(tmp_path: Path) -> None:
    (tmp_path / "conf").mkdir()
    (tmp_path / "conf" / "config.yaml").write_text("lr: 1.0\ngif: true\nnetwork: {hidden_sizes: [1]}\n")
    assert before_after.known_to(processes.HERE.parent) == list(works.SAME_WORK)
    assert before_after.known_to(tmp_path) == ["lr=0.0007", "network.hidden_sizes=[64,64]", "gif=false"]


@pytest.mark.long
def test_trainings_take_turns_and_count_only_their_own_time() -> None:
    overrides = ("env.id=CartPole-v1", "num_envs=4", "vectorization=sync", *works.SAME_WORK, "device=cpu")
    root = processes.HERE.parent
    with turns.trainings({"one": (root, overrides), "other": (root, overrides)}) as ready:
        begun = [training.steps for training in ready.values()]
        assert ready["one"].turn(0.2) > 0
        assert ready["one"].steps > begun[0]
        assert ready["other"].steps == begun[1]  # it waits
    with pytest.raises(MeasurementError, match="Nothing-v0"), turns.trainings({"none": (root, ("env.id=Nothing-v0",))}):
        pass


@pytest.mark.parametrize(
    "script",
    [
        "speed.py",
        "scaling.py",
        "gpu.py",
        "vector_environment.py",
        "evaluation_apart.py",
        "costs.py",
        "defaults.py",
        "envpool_speed.py",
    ],
)
def test_every_command_explains_itself(script: str) -> None:
    command = [sys.executable, str(processes.HERE / script), "--help"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=processes.child_environment())
    assert "make bench" in done.stdout


def test_resets_are_no_transitions() -> None:
    cfg = load_config("env.id=CartPole-v1", "algo=a2c_paper", "num_envs=3", "device=cpu", "vectorization=native")
    with make_envs(cfg) as envs:
        (group,) = envs.envs.groups
        group.reset([1, 2, 3])
        valid = sum(int(group.step(np.zeros(3, np.int64)).valid.sum()) for _ in range(60))
        lost = our_speed.resets(envs.envs)
        assert our_speed.resets(envs.envs) == 0  # counted once
    # A pole pushed to one side falls after some 10 steps; what ends with the last step is reset by the next one.
    assert lost is not None
    assert 0 <= lost - (180 - valid) <= 3 < lost
    found = our_speed.measure_random(cfg, seconds=0.05)
    assert found["transitions_per_second"] < found["steps_per_second"]


def test_our_quickest_way_is_compared_with_envpools_pair_by_pair() -> None:
    speeds = {"EnvPool": [10.0, 20.0, 40.0], "EnvPool, 1 thread": [1.0, 2.0, 3.0], "ours, workers": [30.0, 30.0, 20.0]}
    found = envpool_speed.ratio({**speeds, "native": [5.0, 5.0, 5.0]})
    # 30/10 = 3, 30/20 = 1.5, 20/40 = 0.5
    assert found == {
        "median": 1.5, "low": 0.5, "high": 3.0, "pairs": [3.0, 1.5, 0.5], "ours": "ours, workers", "theirs": "EnvPool"
    }  # fmt: skip
    row = {"transitions_per_second": {name: rounds.spread(values) for name, values in speeds.items()}, "ratio": found}
    alone = {
        "transitions_per_second": {"native": rounds.spread([5e6])},
        "ratio": envpool_speed.ratio({"native": [5e6]}),
    }
    lines = envpool_speed.table({"cartpole-16": row, "pong-16": alone}).splitlines()
    assert lines[2] == "| CartPole N=16 | 20 | 2 | - | - | 30 | - | **1.50** [0.50, 3.00] |"
    assert lines[3] == "| Pong N=16 | - | - | - | - | - | 5,000,000 | - |"


def test_every_way_to_step_environments_has_settings_that_exist() -> None:
    for overrides in envpool_speed.ways(envpool_speed.WORKS["cartpole-16"]).values():
        assert load_config(*overrides).num_envs == 16
    assert "native" not in envpool_speed.ways(envpool_speed.WORKS["halfcheetah-16"])


def test_trainings_are_paired_by_round_and_a_missed_goal_has_no_figure() -> None:
    found = {
        "false": [{"end": 20.0, "goal": 5.0}, {"end": 10.0, "goal": 4.0}],
        "true": [{"end": 10.0, "goal": None}, {"end": 5.0, "goal": 4.0}],
    }
    results = evaluation_apart.summarized(found)
    assert results["false"]["end"] == {"seconds": [20.0, 10.0], "median": 15.0, "low": 10.0, "high": 20.0}
    assert results["true"]["end"]["times false"] == pytest.approx([0.5, 0.5, 0.5])  # in both rounds
    assert "goal" not in results["true"]


# ---- precision ----


def scored(*scores: float) -> list[dict[str, Any]]:
    return [{"score": score, "mean_over_training": score / 2} for score in scores]


def test_precisions_are_on_a_par_only_where_the_whole_interval_lies_within_the_margin() -> None:
    work = precision.Work((), 0.0, 100.0)  # the margin is 5
    same = precision.compare(work, {"float32": scored(90, 91, 92, 90), "bf16": scored(91, 92, 90, 90)})
    assert (same["score"]["on_a_par"], same["score"]["margin"]) == (True, 5.0)
    worse = precision.compare(work, {"float32": scored(90, 91, 92, 90), "bf16": scored(70, 72, 71, 70)})
    # IQMs 90.5 and 70.5, and half of that in the mean over training
    assert worse["score"]["difference"]["value"] == pytest.approx(-20.0)
    assert worse["mean_over_training"]["difference"]["value"] == pytest.approx(-10.0)
    assert not worse["score"]["on_a_par"]
    # Scattered runs show nothing, however near their means are.
    unknown = precision.compare(work, {"float32": scored(10, 90, 50, 95), "bf16": scored(12, 88, 51, 96)})
    assert abs(unknown["score"]["difference"]["value"]) < 5
    assert not unknown["score"]["on_a_par"]


def test_catch_pays_for_the_ball_and_shows_it_and_the_paddle() -> None:
    env = gym.make("catch:Catch-v0")
    check_env(env.unwrapped, skip_render_check=True)
    for seed in range(8):
        for earned in (1.0, -1.0):
            screen, _ = env.reset(seed=seed)
            assert screen.sum() == 2 * 255 * catch.HIGH * catch.WIDE  # two cells
            rewards, ended = [], False
            while not ended:
                board = screen[0, catch.HIGH // 2 :: catch.HIGH, catch.WIDE // 2 :: catch.WIDE][: catch.ROWS]
                ball, paddle = int(board[:-1].any(0).argmax()), int(board[-1].argmax())
                away = 0 if ball >= 2 else 2
                screen, reward, ended, _, _ = env.step(np.int64(1 + np.sign(ball - paddle) if earned > 0 else away))
                rewards.append(reward)
            assert rewards == [0.0] * 8 + [earned]
