"""A run that evaluates in a process of its own leaves what it leaves otherwise, in the same order."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

import a2c
from a2c.collecting.collector import Collector
from a2c.envs.seeding import EVAL, env_seed
from a2c.errors import ConfigError, EnvironmentFailure, NumericError
from a2c.playing.evaluation import EvalResult, Evaluator
from a2c.playing.evaluator_process import EvaluatorProcess
from a2c.run import evaluation_ways, evaluators
from a2c.run.checkpoints import Checkpoints
from a2c.run.evaluation_ways import apart_at_once
from a2c.run.evaluations import Evaluations
from a2c.run.evaluators import Evaluators
from a2c.run.rows import LEFT, WAITING_ROW, Row
from a2c.run.run import Run
from a2c.run.state import Tally, TrainState
from a2c.settings.config import Config
from a2c.storage.checkpoint import load_checkpoint
from a2c.storage.metrics_file import read_rows
from evaluation_toys import GO, REACHED, wait_for
from sessions import differences

LIGHT = (
    "device=cpu",
    "wandb.mode=disabled",
    "gif=false",
    "vectorization=sync",
    "num_envs=4",
    "n_step=5",
    "total_steps=1200",
    "log_every=100",
    "eval.every=300",
    "eval.episodes=3",
    "eval.final_episodes=2",
    "checkpoint.every=400",
    "lr=0.02",
    "lr_schedule=constant",  # a run that stops half-way has half as many total_steps
    "seed=5",
)
TOY = "env.id=evaluation_toys:Sides-v0"
ALONE = ("algo=a3c", "num_envs=1", "num_workers=1")


def settings(runs: Path, /, *overrides: str, **kwargs: Any) -> Config:
    cfg = a2c.load_config(*LIGHT, f"runs_dir={runs}", *overrides)
    return replace(cfg, env=replace(cfg.env, kwargs={**cfg.env.kwargs, **kwargs}))


def fault(kind: str, folder: Path, **more: Any) -> dict[str, Any]:
    """Arguments of the toy: this fault in the first episode of every evaluation."""
    folder.mkdir(parents=True, exist_ok=True)
    return {"fault": kind, "seeds": [env_seed(5, EVAL, 0)], "folder": str(folder), **more}


def rows(summary: a2c.Summary) -> list[str]:
    """As they stand in the file, without what the clock says."""
    return rows_of(Path(summary.folder))


def rows_of(folder: Path) -> list[str]:
    found = read_rows(folder / "metrics.jsonl")
    return [json.dumps({key: value for key, value in row.items() if not key.startswith("time/")}) for row in found]


def checkpoint(summary: a2c.Summary, name: str) -> dict[str, Any]:
    return load_checkpoint(Path(summary.folder) / "checkpoints" / f"{name}.pt")


def assert_same_run(one: a2c.Summary, other: a2c.Summary) -> None:
    assert rows(one) == rows(other)
    for name in ("best", "last"):
        assert_same_checkpoint(checkpoint(one, name), checkpoint(other, name))
    assert (one.eval_mean, one.eval_std, one.best_eval) == (other.eval_mean, other.eval_std, other.best_eval)


def assert_same_checkpoint(one: dict[str, Any], other: dict[str, Any]) -> None:
    for part in ("model", "optimizer"):
        mine, theirs = one["learner"][part], other["learner"][part]
        assert mine.keys() == theirs.keys()
        assert all(torch.equal(mine[key], theirs[key]) for key in mine)
    assert differences(one["collector"], other["collector"]) == []
    assert one.keys() == other.keys()
    assert without_time(one["state"]) == without_time(other["state"])


def without_time(state: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in state.items() if key != "wall_time"}


def one_folder(runs: Path) -> Path:
    (folder,) = {path.parent for path in runs.glob("*/*/metrics.jsonl")}
    return folder


@pytest.mark.parametrize(
    "overrides",
    [
        (TOY, "normalize_obs=true", "normalize_reward=true"),
        ("env=cartpole", "num_envs=4", "lr=0.02", "total_steps=1200"),
        (TOY, *ALONE, "normalize_reward=true"),
        ("env=pendulum", "num_envs=4", "total_steps=1200"),  # continuous actions show the last bit
    ],
    ids=["a2c", "cartpole", "a3c", "pendulum"],
)
def test_apart_and_in_place_leave_the_same(tmp_path: Path, overrides: tuple[str, ...]) -> None:
    apart, here = (
        a2c.train(settings(tmp_path / choice, *overrides, f"eval.apart={choice}")) for choice in ("true", "false")
    )
    assert_same_run(apart, here)
    assert sum("eval/mean_reward" in row for row in rows(apart)) == 4
    assert checkpoint(apart, "best")["config"]["eval"]["apart"] == "true"


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What evaluations did, in order."""
    events: list[str] = []
    begin, result, run = EvaluatorProcess.begin, EvaluatorProcess.result, Evaluator.run

    def beginning(process: EvaluatorProcess, *args: Any) -> None:
        events.append("begin")
        begin(process, *args)

    def resulting(process: EvaluatorProcess, *args: Any) -> EvalResult | None:
        found = result(process, *args)
        if found is not None:
            events.append("end")
        return found

    def running(*args: Any, **kwargs: Any) -> EvalResult | None:
        events.append("here")
        return run(*args, **kwargs)

    monkeypatch.setattr(EvaluatorProcess, "begin", beginning)
    monkeypatch.setattr(EvaluatorProcess, "result", resulting)
    monkeypatch.setattr(Evaluator, "run", running)
    return events


OFTEN = ("log_every=20", "checkpoint.every=0", "total_steps=500")  # evaluations after 300 steps and at the end


def test_the_best_checkpoint_is_of_the_moment_when_its_evaluation_began(
    tmp_path: Path, told: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The evaluation of 300 steps cannot end before training has made 380: four environments with 95 steps each."""
    improves = Checkpoints.improves

    def only_the_first(self: Checkpoints, score: float) -> bool:
        return self.tally.best_eval is None and improves(self, score)

    monkeypatch.setattr(Checkpoints, "improves", only_the_first)
    waits = fault("wait", tmp_path / "files", opens=95)
    apart = a2c.train(settings(tmp_path / "apart", TOY, *OFTEN, "eval.apart=true", **waits))
    assert told == ["begin", "end"] * 3  # the final score is the third
    here = a2c.train(settings(tmp_path / "here", TOY, *OFTEN, "eval.apart=false"))
    assert told[6:] == ["here"] * 3
    assert_same_run(apart, here)
    best = checkpoint(apart, "best")
    assert best["state"]["env_steps"] == 300
    assert best["state"]["update"] == 15
    last = checkpoint(apart, "last")["learner"]["model"]
    assert not any(torch.equal(last[name], best["learner"]["model"][name]) for name in last)  # they do move


def test_rows_wait_for_the_scores_of_those_before_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log: list[tuple[str, int]] = []
    add, write = Evaluations.add, Run._write

    def adding(self: Evaluations, row: Row, scores: Any) -> None:
        log.append(("made", row.env_steps))
        add(self, row, scores)

    def writing(self: Run, row: Row, scores: Any) -> None:
        log.append(("out", row.env_steps))
        write(self, row, scores)

    monkeypatch.setattr(Evaluations, "add", adding)
    monkeypatch.setattr(Run, "_write", writing)
    waits = fault("wait", tmp_path / "files", opens=95)
    a2c.train(settings(tmp_path, TOY, *OFTEN, "eval.apart=true", **waits))
    assert log[: log.index(("made", 300))] == [
        event for step in range(20, 300, 20) for event in (("made", step), ("out", step))
    ]
    assert log.index(("out", 300)) > log.index(("made", 360))
    assert [step for what, step in log if what == "out"] == [*range(20, 501, 20)]


def test_the_next_evaluation_and_a_later_checkpoint_wait_for_the_one_under_way(
    tmp_path: Path, told: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """An evaluation ends only once somebody waits for it."""
    result, write = Evaluators.result, Checkpoints.write

    def waiting(self: Evaluators, wait: bool) -> EvalResult | None:
        if wait:
            (tmp_path / GO).touch()
        return result(self, wait)

    def writing(self: Checkpoints, name: str, payload: dict[str, Any]) -> None:
        told.append(f"{name} {payload['state']['env_steps']}")
        write(self, name, payload)
        (tmp_path / GO).unlink(missing_ok=True)  # also for the next evaluation

    monkeypatch.setattr(Evaluators, "result", waiting)
    monkeypatch.setattr(Checkpoints, "write", writing)
    monkeypatch.setattr(Checkpoints, "improves", lambda self, score: True)
    often = ("eval.every=200", "checkpoint.every=300", "total_steps=600", "log_every=20")
    a2c.train(settings(tmp_path, TOY, *often, "eval.apart=true", **fault("wait", tmp_path)))
    assert told == [
        *("last 200", "begin", "end", "best 200", "last 200", "last 300"),  # saved before, and with the score
        *("last 400", "begin", "end", "best 400", "last 400"),
        *("last 600", "begin", "end", "best 600", "last 600"),
        *("begin", "end"),  # the final score
    ]


class Doubles:
    """Evaluators and checkpoints that only write down what they are told."""

    def __init__(self, *results: EvalResult | Exception | None) -> None:
        self.results = list(results)
        self.done: list[Any] = []
        self.best: float | None = 1.0
        self.evaluations = Evaluations(
            self,  # type: ignore[arg-type]
            self,  # type: ignore[arg-type]
            lambda row, scores: self.done.append((row.env_steps, *scores.values())),
            contextlib.nullcontext,
        )

    def begin_at(self, env_steps: int, *, save: bool) -> None:
        state = TrainState(env_steps)
        scores = self.evaluations.evaluate(state, None, {"loss": 0.5}, save=save, wait=False)  # type: ignore[arg-type]
        self.evaluations.add(row_at(env_steps), scores)

    def ready_apart(self) -> bool:
        return True

    def begin(self, weights: Any, env_steps: int) -> None:
        self.done.append("begin")

    def result(self, wait: bool) -> EvalResult | None:
        found = self.results.pop(0)
        if isinstance(found, Exception):
            raise found
        return found

    def break_off(self) -> None:
        self.done.append("killed")

    def payload(self, state: TrainState) -> dict[str, Any]:
        return {"learner": {"model": {}}, "state": {"env_steps": state.env_steps, "best_eval": self.best}}

    def write(self, name: str, payload: dict[str, Any]) -> None:
        self.done.append((name, payload["state"]["env_steps"], payload["state"]["best_eval"], payload.get(WAITING_ROW)))

    def improves(self, score: float) -> bool:
        better = self.best is None or score >= self.best
        self.best = score if better else self.best
        return better

    stamped = Checkpoints.stamped

    @property
    def _tally(self) -> Tally:
        return Tally(best_eval=self.best)


def row_at(env_steps: int) -> Row:
    return Row(env_steps, {}, {}, show=False)


SEVEN, ZERO = EvalResult([6.0, 8.0], [1, 1]), EvalResult([0.0, 0.0], [1, 1])


def test_a_checkpoint_of_the_same_report_is_there_at_once_and_again_with_the_score() -> None:
    doubles = Doubles(SEVEN)
    doubles.begin_at(10, save=True)
    assert doubles.done == [("last", 10, 1.0, {"loss": 0.5}), "begin"]
    doubles.done.clear()
    doubles.evaluations.receive(wait=True)
    assert doubles.done == [("best", 10, 7.0, None), (10, 7.0, 1.0), ("last", 10, 7.0, None)]  # the row before it


def test_a_score_that_is_no_better_leaves_the_best_checkpoint() -> None:
    doubles = Doubles(ZERO)
    doubles.begin_at(10, save=True)
    doubles.done.clear()
    doubles.evaluations.receive(wait=True)
    assert doubles.done == [(10, 0.0, 0.0), ("last", 10, 1.0, None)]


def test_scores_that_are_not_there_hold_up_all_rows_and_then_let_them_go_in_order() -> None:
    doubles = Doubles(None, None, SEVEN)
    doubles.begin_at(10, save=False)
    for step in (20, 30):
        doubles.evaluations.receive(wait=False)
        doubles.evaluations.add(row_at(step), {})
    assert doubles.done == ["begin"]
    doubles.evaluations.receive(wait=False)
    doubles.evaluations.add(row_at(40), {})
    assert doubles.done == ["begin", ("best", 10, 7.0, None), (10, 7.0, 1.0), (20,), (30,), (40,)]


def test_a_stop_leaves_the_evaluation_and_its_rows_to_the_next_session() -> None:
    doubles = Doubles(None)
    doubles.begin_at(10, save=False)
    doubles.evaluations.add(row_at(20), {})
    doubles.evaluations.receive(wait=True)
    doubles.evaluations.receive(wait=True)  # nothing is under way
    assert doubles.done == ["begin", "killed"]
    left = doubles.evaluations.left()[LEFT]
    assert [env_steps for env_steps, *_ in left["rows"]] == [10, 20]
    assert left["snapshot"]["state"]["env_steps"] == 10
    doubles.evaluations.break_off()
    assert doubles.done == ["begin", "killed"]


def test_a_failure_is_raised_once_all_rows_are_out() -> None:
    doubles = Doubles(EnvironmentFailure("broken"))
    doubles.begin_at(10, save=False)
    doubles.evaluations.add(row_at(20), {})
    with pytest.raises(EnvironmentFailure, match="broken"):
        doubles.evaluations.receive(wait=False)
    assert doubles.done == ["begin", "killed", (10,), (20,)]


def test_no_second_one_begins_beside_the_first() -> None:
    doubles = Doubles()
    doubles.begin_at(10, save=False)
    with pytest.raises(AssertionError):
        doubles.begin_at(20, save=False)


FAULTS = {
    "raise": r"environment 0 of the evaluation \(pid \d+\) raised ZeroDivisionError in step 3: broken where",
    "exit": r"environment 0 of the evaluation \(pid \d+\) raised SystemExit in step 3",
    "kill": r"the process of the evaluation \(pid \d+\) was killed by SIGKILL .* while it ran environment 0",
    "hang": r"environment 0 of the evaluation did not answer in 0.3 s",
}
ALGOS = pytest.mark.parametrize(
    "algo", [("algo=a2c",), pytest.param(ALONE, marks=pytest.mark.long)], ids=["a2c", "a3c"]
)


@ALGOS
@pytest.mark.parametrize("kind", FAULTS)
def test_a_failed_evaluation_ends_the_run_with_its_weights_saved(
    tmp_path: Path, algo: tuple[str, ...], kind: str
) -> None:
    limit = ("env.step_timeout=0.3", "eval.episodes=1") if kind == "hang" else ()
    cfg = settings(tmp_path, TOY, *algo, *limit, "checkpoint.every=0", "eval.apart=true", **fault(kind, tmp_path))
    with pytest.raises(EnvironmentFailure, match=FAULTS[kind]) as error:
        a2c.train(cfg)
    assert error.value.exit_code == 3
    folder = one_folder(tmp_path)
    steps = [json.loads(row)["global_step"] for row in rows_of(folder)]
    assert steps == sorted(steps)
    assert 300 in steps
    assert not any("eval/mean_reward" in row for row in rows_of(folder))
    last = load_checkpoint(folder / "checkpoints" / "last.pt")
    assert last["state"]["env_steps"] >= 300
    assert last["state"]["best_eval"] is None
    assert WAITING_ROW not in last


def test_a_failed_evaluation_does_not_bar_the_way_back(tmp_path: Path) -> None:
    """The checkpoint was saved with the report whose evaluation failed, and would meet the same failure again."""
    cfg = settings(tmp_path, TOY, "checkpoint.every=300", "eval.apart=true", **fault("raise", tmp_path))
    with pytest.raises(EnvironmentFailure):
        a2c.train(cfg)
    folder = one_folder(tmp_path)
    assert WAITING_ROW not in load_checkpoint(folder / "checkpoints" / "last.pt")
    resumed = a2c.train(a2c.load_config(f"resume={folder}", "eval.every=0", "eval.episodes=1", "seed=6", trust=True))
    assert resumed.env_steps == 1200


@pytest.mark.parametrize("kind", [EnvironmentFailure, NumericError])
def test_a_failure_of_training_waits_for_the_scores_of_sound_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: type[Exception]
) -> None:
    collect = Collector.collect

    def failing(self: Collector, update: int) -> Any:
        if update == 17:  # after 340 steps
            (tmp_path / GO).touch()
            raise kind("training broke")
        return collect(self, update)

    monkeypatch.setattr(Collector, "collect", failing)
    with pytest.raises(kind, match="training broke"):
        a2c.train(settings(tmp_path, TOY, "log_every=20", "eval.apart=true", **fault("wait", tmp_path)))
    folder = one_folder(tmp_path)
    found = [json.loads(row) for row in rows_of(folder)]
    assert [row["global_step"] for row in found if "eval/mean_reward" in row] == [300]
    assert found[-1]["global_step"] == 340
    best = load_checkpoint(folder / "checkpoints" / "best.pt")
    assert best["state"]["env_steps"] == 300
    last = load_checkpoint(folder / "checkpoints" / "last.pt")  # of before the evaluation, or of the failure
    assert last["state"]["env_steps"] == (340 if kind is EnvironmentFailure else 300)


@ALGOS
def test_a_signal_ends_a_run_at_once_while_an_evaluation_is_under_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, algo: tuple[str, ...]
) -> None:
    due = Run.due

    def interrupting(self: Run, state: TrainState) -> bool:
        if state.env_steps >= 340 and not self.stop:
            wait_for(tmp_path / REACHED)
            os.kill(os.getpid(), signal.SIGINT)
        return due(self, state)

    monkeypatch.setattr(Run, "due", interrupting)
    cfg = settings(tmp_path, TOY, *algo, "log_every=20", "eval.apart=true", **fault("wait", tmp_path))
    summary = a2c.train(cfg)
    assert_stopped(summary)


def test_a_signal_ends_the_wait_for_an_evaluation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    result = Evaluators.result

    def interrupting(self: Evaluators, wait: bool) -> EvalResult | None:
        if wait:  # the next evaluation is due
            wait_for(tmp_path / REACHED)
            os.kill(os.getpid(), signal.SIGINT)
        return result(self, wait)

    monkeypatch.setattr(Evaluators, "result", interrupting)
    cfg = settings(tmp_path, TOY, "checkpoint.every=0", "eval.apart=true", **fault("wait", tmp_path))
    assert_stopped(a2c.train(cfg))


def assert_stopped(summary: a2c.Summary) -> None:
    assert summary.stopped == "SIGINT"
    steps = [json.loads(row)["global_step"] for row in rows(summary)]
    assert steps == sorted(steps)
    assert all(step < 300 for step in steps)  # the others wait
    last = checkpoint(summary, "last")
    assert last["state"]["env_steps"] == summary.env_steps >= 340
    assert [WAITING_ROW in last] == [summary.env_steps == 600]  # the evaluation that is due then is left as well
    assert last[LEFT]["rows"][0][0] == last[LEFT]["snapshot"]["state"]["env_steps"] == 300


def fails_once(method: Any) -> Any:
    failed = []

    def call(*args: Any, **kwargs: Any) -> Any:
        if not failed:
            failed.append(True)
            raise NumericError("an observation that is not finite")
        return method(*args, **kwargs)

    return call


def test_a_run_that_died_in_an_evaluation_makes_it_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """At 300 and 600 steps an evaluation and a checkpoint are due; the second evaluation never ends."""
    both = (TOY, "checkpoint.every=300", "normalize_obs=true")
    whole = a2c.train(settings(tmp_path / "whole", *both, "total_steps=600", "eval.apart=false"))
    result, ended = EvaluatorProcess.result, []

    def dying(self: EvaluatorProcess, *args: Any) -> EvalResult | None:
        if ended:
            raise KeyboardInterrupt
        found = result(self, *args)
        ended.extend([True] * (found is not None))
        return found

    with monkeypatch.context() as patch:
        patch.setattr(EvaluatorProcess, "result", dying)
        with pytest.raises(KeyboardInterrupt):
            a2c.train(settings(tmp_path / "died", *both, "eval.apart=true"))
    folder = one_folder(tmp_path / "died")
    last = load_checkpoint(folder / "checkpoints" / "last.pt")
    assert (last["state"]["env_steps"], last[WAITING_ROW]["rollout/episodes"]) == (600, 4 * 15)

    shutil.copytree(folder, tmp_path / "again")
    with monkeypatch.context() as patch:
        patch.setattr(Evaluations, "evaluate", fails_once(Evaluations.evaluate))
        resumed = a2c.train(a2c.load_config(f"resume={tmp_path / 'again'}", "total_steps=900"))
    assert resumed.env_steps == 900  # it goes on without those scores
    scored = [(row["global_step"], "eval/mean_reward" in row) for row in map(json.loads, rows(resumed))]
    assert [one for one in scored if one[0] in (300, 600, 900)] == [(300, True), (600, False), (900, True)]
    assert WAITING_ROW not in checkpoint(resumed, "last")

    for apart in ("true", "false"):
        shutil.copytree(folder, tmp_path / apart)
        until = "total_steps=600"  # which the run has reached
        assert_same_run(a2c.train(a2c.load_config(f"resume={tmp_path / apart}", until, f"eval.apart={apart}")), whole)
    resumed = a2c.train(a2c.load_config(f"resume={folder}"))
    assert rows(resumed)[: len(rows(whole))] == rows(whole)
    assert sum("eval/mean_reward" in row for row in rows(resumed)) == 4


def test_auto_changes_over_when_evaluations_have_cost_as_much_as_a_process(
    tmp_path: Path, told: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(evaluators, "usable_cores", lambda: 2)
    never = a2c.train(settings(tmp_path / "never", TOY, "eval.apart=auto"))  # three evaluations take no second
    assert told == ["here"] * 5
    told.clear()
    monkeypatch.setattr(evaluators, "START_SECONDS", 0.0)
    soon = a2c.train(settings(tmp_path / "soon", TOY, "eval.apart=auto"))
    assert told == ["here", *["begin", "end"] * 4]  # the final score too
    assert_same_run(soon, never)
    told.clear()
    a2c.train(settings(tmp_path / "late", TOY, "eval.apart=auto", "eval.every=600"))
    assert told == ["here"] * 3  # of two evaluations the second has no training beside it
    told.clear()
    monkeypatch.setattr(evaluators, "usable_cores", lambda: 1)
    a2c.train(settings(tmp_path / "one core", TOY, "eval.apart=auto"))
    assert told == ["here"] * 5
    told.clear()
    monkeypatch.setattr(evaluators, "usable_cores", lambda: 2)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)
    a2c.train(settings(tmp_path / "two threads on two cores", TOY, "eval.apart=auto"))
    assert told == ["here"] * 5


def test_auto_does_without_a_process_that_cannot_be_had(
    tmp_path: Path, told: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(evaluators, "usable_cores", lambda: 2)
    monkeypatch.setattr(evaluators, "START_SECONDS", 0.0)

    def refusing(*args: Any) -> bool:
        raise ConfigError("unknown environment")

    monkeypatch.setattr(EvaluatorProcess, "wait_until_ready", refusing)
    a2c.train(settings(tmp_path / "auto", TOY, "eval.apart=auto"))
    assert told == ["here"] * 5
    note = "evaluations stay in this process: config error: unknown environment"
    assert capsys.readouterr().out.count(note) == 1
    with pytest.raises(ConfigError, match="unknown environment"):
        a2c.train(settings(tmp_path / "true", TOY, "eval.apart=true"))


@pytest.mark.parametrize(
    ("apart", "device", "cores", "expected"),
    [
        ("true", "cpu", 1, True),
        ("false", "cuda", 8, False),
        ("auto", "cpu", 8, False),  # in place at first
        ("auto", "cuda", 2, True),  # all evaluations on the CPU
        ("auto", "cuda", 1, False),  # all evaluations on the GPU
    ],
)
def test_what_is_apart_from_the_first_evaluation_on(
    monkeypatch: pytest.MonkeyPatch, apart: str, device: str, cores: int, expected: bool
) -> None:
    monkeypatch.setattr(evaluation_ways, "usable_cores", lambda: cores)
    monkeypatch.setattr(evaluation_ways, "resolve_device", lambda _: torch.device(device))
    assert apart_at_once(a2c.load_config("env=cartpole", f"eval.apart={apart}")) == expected


def test_who_evaluates_apart_makes_no_environments_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evaluators, "Evaluator", None)
    a2c.train(settings(tmp_path, TOY, "eval.apart=true"))


def test_one_screen_and_no_word_from_the_process(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    a2c.train(settings(tmp_path, TOY, "eval.apart=true"))
    shown = capfd.readouterr()
    assert shown.err == ""
    assert shown.out.count("\n  observations ") == 1
    steps = [line.split()[0] for line in shown.out.splitlines() if re.match(r" *[\d,]+ +\d+s ", line)]
    assert steps == [f"{step:,}" for step in range(100, 1201, 100)]


@pytest.mark.parametrize("value", ["auto", "true", "false"])
def test_the_setting_in_all_its_spellings(value: str) -> None:
    assert a2c.load_config("env=cartpole", f"eval.apart={value}").eval.apart == value


def test_another_value_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"eval.apart='sometimes' must be one of auto, true, false"):
        a2c.load_config("env=cartpole", "eval.apart=sometimes")
