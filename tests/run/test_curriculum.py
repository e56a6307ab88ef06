"""A run with a callback that has a state, and calls its environments, resumes to the bit."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import a2c
from a2c.collecting.collector import Collector
from a2c.collecting.going_on import GO_ON
from a2c.run.evaluators import Evaluators
from a2c.storage.checkpoint import load_checkpoint
from sessions import QUIET, Sessions, differences, left_by

SCHEDULES = (
    "lr_schedule=cosine", "lr_end=1e-4", "value_coef_schedule=[[0,1.0],[0.0005,0.2],[1,0.5]]", "gae_lambda=0.9",
    "gae_lambda_schedule=linear", "gae_lambda_end=0.5", "max_grad_norm_schedule=[[0,1.0],[0.0006,0.1]]",
)  # fmt: skip
FEW = ("num_envs=4", "n_step=8", "log_every=80", "log_info=[success,level]")  # a report after every third update
LADDER = ("env.id=curriculum_toys:Ladder-v0", *FEW, *SCHEDULES, "normalize_reward=true", "lr=0.01")
SYNC = "vectorization=sync"
LAYOUTS = {
    "sync": [SYNC],
    "groups": [SYNC, "env_groups=2"],
    "workers": ["vectorization=workers", "num_workers=2", "main_shard=false"],
    "main shard": ["vectorization=workers", "num_workers=1", "main_shard=true"],
    "async": ["vectorization=async"],
}
STOPS, UNTIL = [1, 5, 12], 20
LONG = pytest.mark.long


class Climber:
    """Makes it harder after every second report; all that it gives depends on all that it has seen."""

    def __init__(self) -> None:
        self.reports, self.total = 0, 0.0

    def __call__(self, progress: a2c.Progress) -> dict[str, float]:
        self.reports += 1
        self.total += sum(episode.reward + episode.info["success"] for episode in progress.episodes)
        levels = progress.call("harder", by=self.reports) if self.reports % 2 else []
        return {"total": self.total, "levels": sum(levels), "score": progress.metrics.get("eval/mean_reward", 0.0)}

    def state_dict(self) -> dict[str, Any]:
        return {"reports": self.reports, "total": self.total}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.reports, self.total = state["reports"], state["total"]


@pytest.fixture
def sessions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Sessions:
    return Sessions(tmp_path, monkeypatch, on_report=Climber)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., dict[str, Any]]]:
    """What a run leaves that nobody stops; each is made once."""
    known: dict[tuple[str, ...], dict[str, Any]] = {}
    with pytest.MonkeyPatch.context() as patch:

        def make(*overrides: str) -> dict[str, Any]:
            if overrides not in known:
                folder = Sessions(tmp_path_factory.mktemp("whole"), patch, on_report=Climber).run(
                    *overrides, until=UNTIL
                )
                known[overrides] = left = left_by(folder)
                assert len(left["collector"]["calls"]) == len(left["rows"]) // 2 == 4
                assert left["rows"][-1]["episode/level"] > 1
            return known[overrides]

        yield make


@pytest.mark.parametrize(
    ("first", "then"),
    [
        ("sync", "sync"),
        ("groups", "groups"),
        ("workers", "workers"),
        ("main shard", "sync"),
        pytest.param("async", "async", marks=LONG),
        pytest.param("sync", "async", marks=LONG),
        pytest.param("async", "workers", marks=LONG),
    ],
)
def test_wherever_its_environments_are(
    first: str, then: str, sessions: Sessions, undisturbed: Callable[..., dict[str, Any]]
) -> None:
    again = tuple(LAYOUTS[then]) if then != first else ()
    folder = sessions.interrupted(*LADDER, *LAYOUTS[first], stops=STOPS, until=UNTIL, again=again)
    assert sessions.told(GO_ON)
    assert differences(left_by(folder), undisturbed(*LADDER, SYNC)) == []


CHAIN = "env.wrappers=[{own_toys:Repeat:{times:2}},own_toys.shifted]"


@pytest.mark.parametrize("network", ["network_toys:pair", "network_toys:Counting"], ids=["network", "memory"])
@pytest.mark.parametrize(
    ("first", "then"),
    [("sync", "sync"), pytest.param("workers", "workers", marks=LONG), pytest.param("async", "sync", marks=LONG)],
)
def test_with_all_of_it_ones_own(
    network: str, first: str, then: str, sessions: Sessions, undisturbed: Callable[..., dict[str, Any]]
) -> None:
    """A callback with a state, a curriculum, wrappers, and a network of one's own, also one that remembers."""
    own = (*LADDER, CHAIN, f"network.make={network}")
    again = tuple(LAYOUTS[then]) if then != first else ()
    folder = sessions.interrupted(*own, *LAYOUTS[first], stops=STOPS, until=UNTIL, again=again)
    assert sessions.told(GO_ON)
    assert differences(left_by(folder), undisturbed(*own, SYNC)) == []
    assert differences(left_by(folder), undisturbed(*LADDER, SYNC)) != []  # it is another training than without


@pytest.mark.parametrize("dies", ["in an evaluation", "after its report"])
def test_killed_around_a_report_with_an_evaluation(
    dies: str, sessions: Sessions, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If the callback has not seen it, the resumed run makes the whole report: evaluation, callback, row."""
    cfg = (*LADDER, SYNC, "eval.every=96", "total_steps=300")

    def run(folder: Path, **changes: Any) -> Path:
        overrides = (*QUIET, *cfg, f"runs_dir={folder}") if not changes else (f"runs_dir={folder}",)
        loaded = a2c.load_config(*overrides, *(f"{key}={value}" for key, value in changes.items()))
        return Path(a2c.train(loaded, on_report=Climber()).folder)

    whole = left_by(run(sessions.folder / "whole"))
    assert [row["callback/score"] != 0 for row in whole["rows"]].count(True) >= 3
    here, collect = Evaluators.here, Collector.collect

    def evaluating(self: Evaluators, network: Any, env_steps: int) -> Any:
        if env_steps == 192 and dies == "in an evaluation":
            raise KeyboardInterrupt
        return here(self, network, env_steps)

    def collecting(self: Collector, update: int) -> Any:
        if update == 7:  # of 32 steps: the one after the report at 192
            raise KeyboardInterrupt
        return collect(self, update)

    with monkeypatch.context() as patch:
        patch.setattr(Evaluators, "here", evaluating)
        patch.setattr(Collector, "collect", collecting)
        with pytest.raises(KeyboardInterrupt):
            run(sessions.folder / "cut")
    (folder,) = (sessions.folder / "cut").glob("*/2*")
    saved = load_checkpoint(folder / "checkpoints" / "last.pt")
    assert saved["state"]["env_steps"] == 192
    assert ("waiting_row" in saved) is (dies == "in an evaluation")
    run(sessions.folder / "cut", resume=folder)
    assert differences(left_by(folder), whole) == []


def test_where_episodes_start_over_the_level_is_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With another number of environments none goes on; each has had all calls before its episode begins."""
    sessions = Sessions(tmp_path, monkeypatch, on_report=Climber)
    folder = sessions.run(*LADDER, SYNC, until=10)  # 3 reports: harder by 1, by 3
    levels: list[Any] = []

    def look(progress: a2c.Progress) -> None:
        levels.append(progress.call("level"))
        levels.append([episode.info["level"] for episode in progress.episodes])

    sessions.on_report = lambda: look
    sessions.run("num_envs=2", until=16, resume=folder)
    assert levels[0] == [4, 4]
    assert set(levels[1]) == {4}


def test_without_the_callback_its_state_is_missed_aloud(sessions: Sessions) -> None:
    folder = sessions.run(*LADDER, SYNC, until=4)
    sessions.on_report = None
    sessions.run(until=5, resume=folder)
    assert "the checkpoint holds the state of a callback, and there is none to take it" in sessions.said


def test_a_callback_has_both_methods_or_neither(sessions: Sessions) -> None:
    class Half:
        def __call__(self, progress: a2c.Progress) -> None: ...
        def state_dict(self) -> None: ...

    sessions.on_report = Half
    with pytest.raises(a2c.ConfigError, match=r"on_report \(.*Half\) needs both state_dict and load_state_dict"):
        sessions.run(*LADDER, SYNC, until=4)


@pytest.mark.parametrize("layout", ["sync", "workers"])
def test_an_environment_that_is_made_anew_has_had_all_calls(
    layout: str, tmp_path: Path, sessions: Sessions, undisturbed: Callable[..., dict[str, Any]]
) -> None:
    """One of them fails in step 150 of its instance, in the middle of a rollout after several calls."""
    broken = (f"env.kwargs={{folder: '{tmp_path}', at: 150}}",)
    (tmp_path / "broken").write_text("3")
    folder = sessions.run(*LADDER, *LAYOUTS[layout], *broken, until=UNTIL)
    assert [line for line in sessions.said if "ZeroDivisionError" in line and "restarted (1 of 3 in an hour)" in line]
    assert differences(left_by(folder), undisturbed(*LADDER, SYNC)) == []


@pytest.mark.parametrize("workers", [1, pytest.param(2, marks=LONG)])
def test_a3c_sees_calls_and_resumes(workers: int, sessions: Sessions) -> None:
    """One worker is A2C with its environments, to the bit; of two, who comes first is up to the machine."""
    a3c = (*LADDER, "algo=a3c", f"num_workers={workers}", "num_envs=2", "max_grad_norm=0.5")
    folder = sessions.interrupted(*a3c, stops=[7], until=20)  # with reports alone: 80, 160, 240, 320 steps
    left = left_by(folder)
    assert left["callback"]["reports"] == len(left["rows"])
    assert all(
        len(worker["calls"]) == (left["callback"]["reports"] + 1) // 2 for worker in left["collector"]["workers"]
    )
    assert sum(row["callback/levels"] for row in left["rows"]) % (2 * workers) == 0
    if workers == 1:
        plain = left_by(sessions.run(*LADDER, "algo=a2c_paper", SYNC, "num_envs=2", until=20))
        assert differences(left["learner"], plain["learner"]) == []
        rows = [{key: row[key] for key in row if not key.startswith("train/lag")} for row in left["rows"]]
        assert differences(rows, plain["rows"]) == []
