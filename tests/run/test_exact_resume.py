"""A run that was stopped and resumed leaves what it leaves undisturbed: every weight, every row, to the bit."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import a2c
import rebuilding_toys
from a2c.collecting.collector import Collector
from a2c.collecting.going_on import GO_ON
from a2c.envs.lockstep import LockstepEnvs
from a2c.envs.seeding import TRAIN, env_seed
from a2c.errors import CheckpointError, EnvironmentFailure
from a2c.run.evaluators import Evaluators
from a2c.run.rows import LEFT, WAITING_ROW
from a2c.storage.checkpoint import load_checkpoint
from sessions import QUIET, Sessions, differences, left_by

ALL = ("normalize_obs=true", "normalize_reward=true", "lr_schedule=linear", "gae_lambda=0.9", "lr=0.01")
FEW = ("num_envs=4", "n_step=8", "log_every=80")  # a report after every third update
SYNC, WORKERS = "vectorization=sync", "vectorization=workers"
CARTPOLE = ("env=cartpole", *FEW, *ALL)
DICE = ("env.id=rebuilding_toys:Dice-v0", *FEW, *ALL)
BREAKING = "rebuilding_toys:BreakingDice-v0"
TESTS = Path(__file__).parents[1]
OLD_RUN = TESTS / "fixtures" / "run_of_0_1"
PATIENCE = 300.0  # seconds: a busy machine takes its time
LONG = pytest.mark.long
STOPS, UNTIL = [1, 5, 12], 20  # of them only the second comes with a report


@pytest.fixture
def sessions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Sessions:
    return Sessions(tmp_path, monkeypatch)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., dict[str, Any]]]:
    """What a run in this process leaves that nobody stops; each is made once."""
    known: dict[Any, dict[str, Any]] = {}
    with pytest.MonkeyPatch.context() as patch:

        def make(*overrides: str, until: int = UNTIL) -> dict[str, Any]:
            if (overrides, until) not in known:
                folder = Sessions(tmp_path_factory.mktemp("whole"), patch).run(*overrides, until=until)
                known[overrides, until] = left_by(folder)
                assert len(known[overrides, until]["rows"]) >= 3
            return known[overrides, until]

        yield make


def box2d() -> None:
    with warnings.catch_warnings():  # it warns while it is imported, and dies if that raises
        warnings.simplefilter("ignore")
        pytest.importorskip("Box2D")


def assert_same(folder: Path, expected: dict[str, Any]) -> None:
    assert differences(_comparable(left_by(folder)), _comparable(expected)) == []


def _comparable(left: dict[str, Any]) -> dict[str, Any]:
    """Without the states before first episodes: a seed wipes out what the constructor drew from the system."""
    for episode in (left["collector"].get("in_flight") or {}).get("episodes", ()):
        if episode["number"] == 1:
            episode["state"] = None
    return left


@pytest.mark.parametrize(
    ("first", "then"),
    [
        ([SYNC], []),
        ([SYNC, "env_groups=2"], []),
        ([WORKERS, "num_workers=2", "main_shard=false"], []),
        ([WORKERS, "num_workers=1", "main_shard=true"], []),
        pytest.param([WORKERS, "num_workers=2", "main_shard=false", "env_groups=2"], ["num_workers=1"], marks=LONG),
        pytest.param(["vectorization=async"], [], marks=LONG),
        pytest.param([WORKERS, "num_workers=2", "main_shard=false"], ["num_workers=3"], marks=LONG),
        pytest.param([SYNC], ["vectorization=async"], marks=LONG),
        pytest.param(["vectorization=async"], [WORKERS, "num_workers=2", "main_shard=true"], marks=LONG),
        pytest.param([SYNC, "env_groups=2"], ["env_groups=1"], marks=LONG),
    ],
    ids=" ".join,
)
def test_however_cartpoles_are_stepped_before_and_after(
    first: list[str], then: list[str], sessions: Sessions, undisturbed: Callable[..., dict[str, Any]]
) -> None:
    folder = sessions.interrupted(*CARTPOLE, *first, stops=STOPS, until=UNTIL, again=tuple(then))
    assert sessions.told(GO_ON)
    assert_same(folder, undisturbed(*CARTPOLE, SYNC))


@pytest.mark.parametrize("memory", ["lstm", "gru"])
@pytest.mark.parametrize("layout", [(SYNC,), (SYNC, "env_groups=2")], ids=" ".join)
def test_what_the_network_remembers_goes_on(
    memory: str, layout: tuple[str, ...], sessions: Sessions, undisturbed: Callable[..., dict[str, Any]]
) -> None:
    """Rows are compared within one layout: values of batches of another size may be rounded otherwise."""
    remembering = (*CARTPOLE, f"network.memory={memory}", "network.memory_size=8", *layout)
    folder = sessions.interrupted(*remembering, stops=STOPS, until=UNTIL)
    assert sessions.told(GO_ON)
    assert_same(folder, undisturbed(*remembering))
    remembered = load_checkpoint(folder / "checkpoints" / "last.pt")["collector"]["in_flight"]["memory"]
    assert remembered.shape == (4, 16 if memory == "lstm" else 8)
    assert remembered.any()


def test_a_run_is_not_resumed_with_another_memory(sessions: Sessions) -> None:
    folder = sessions.run(*DICE, SYNC, "network.memory=lstm", "network.memory_size=8", until=2)
    for other in ("network.memory=gru", "network.memory=null", "network.memory_size=4"):
        with pytest.raises(CheckpointError, match=f"other layers; settings that differ and matter: {other[:14]}"):
            sessions.run(other, until=3, resume=folder)


@pytest.mark.long
@pytest.mark.parametrize(
    "overrides",
    [
        ("env=pendulum", *FEW, *ALL, SYNC),
        (
            "env.id=BipedalWalker-v3",
            "num_envs=2",
            "n_step=40",
            "log_every=400",
            "env.max_episode_steps=100",
            *ALL,
            WORKERS,
            "num_workers=1",
            "main_shard=true",
        ),  # RENEW, in a worker and here
        ("env.id=LunarLander-v3", "num_envs=2", "n_step=40", "log_every=400", *ALL, SYNC),
        ("env.id=rebuilding_toys:Dice-v0", "env.kwargs={continuous:true}", *FEW, *ALL, SYNC),
        ("env.id=rebuilding_toys:LivingDice-v0", "env.atari.life_loss=true", *FEW, *ALL, SYNC),
        ("env=cartpole_device", *FEW, *ALL),
        ("env=cartpole_device", *FEW, *ALL, "network.memory=lstm", "network.memory_size=8"),
    ],
    ids=[
        "pendulum",
        "bipedal walker",
        "lunar lander",
        "continuous dice",
        "living dice",
        "device",
        "device and memory",
    ],
)
def test_whatever_the_environment(
    overrides: tuple[str, ...], sessions: Sessions, undisturbed: Callable[..., dict[str, Any]]
) -> None:
    if "v3" in overrides[0]:
        box2d()
    slow = "v3" in overrides[0]  # its trial takes a second
    folder = sessions.interrupted(*overrides, stops=[7] if slow else STOPS, until=UNTIL)
    assert sessions.told(GO_ON)
    assert_same(folder, undisturbed(*overrides))


@pytest.mark.long
@pytest.mark.parametrize(
    "layout", [(SYNC,), (WORKERS, "num_workers=2", "main_shard=false"), ("vectorization=async",)], ids=" ".join
)
def test_what_get_state_tells_is_told_by_every_process(layout: tuple[str, ...], sessions: Sessions) -> None:
    """Its luck comes from the operating system, so that no two runs are alike: the second session is the witness."""
    # So many that hardly ever all of their episodes begin just where the first session ends.
    dice = ("env.id=rebuilding_toys:KeptDice-v0", *FEW, *ALL, "num_envs=12", *layout)
    folder = sessions.run(*dice, until=5)
    before = load_checkpoint(folder / "checkpoints" / "last.pt")["collector"]
    sessions.run(*layout, until=5, resume=folder)  # stops before it has begun: saves what it has loaded
    assert sessions.told(GO_ON)
    after = load_checkpoint(folder / "checkpoints" / "last.pt")["collector"]
    assert differences(before, after) == []
    assert any(episode["actions"] for episode in before["in_flight"]["episodes"])


@pytest.mark.long
def test_games_of_atari_with_their_stacks_lives_and_sticky_actions(
    sessions: Sessions, undisturbed: Callable[..., dict[str, Any]]
) -> None:
    pytest.importorskip("ale_py")
    sticky = "env.atari.repeat_action_probability=0.25"
    small = ("env.atari.screen_size=36", "network.torso=mlp", "network.hidden_sizes=[8]", "env.atari.noop_max=3")
    game = ("env=breakout", "num_envs=2", "n_step=5", "log_every=100", *small, sticky, SYNC)
    folder = sessions.interrupted(*game, stops=[21], until=32)
    assert sessions.told(GO_ON)
    assert_same(folder, undisturbed(*game, until=32))


@pytest.mark.long
def test_a3c_with_one_worker(sessions: Sessions, undisturbed: Callable[..., dict[str, Any]]) -> None:
    alone = ("algo=a3c", "env=cartpole", "num_workers=1", "num_envs=1", "n_step=8", "log_every=80", *ALL)
    folder = sessions.interrupted(*alone, stops=[10, 20], until=40)
    assert not [line for line in sessions.said if "start over" in line]
    assert_same(folder, undisturbed(*alone, until=40))


@pytest.mark.long
@pytest.mark.parametrize(
    ("layout", "at", "broken"),
    [
        ((SYNC,), 150, ""),
        ((SYNC, "network.memory=lstm"), 160, ""),  # what it remembered at the rollout's beginning, not at its end
        ((SYNC, "env_groups=2"), 160, "2"),  # the last step of the rollout, which the first group makes
        ((WORKERS, "num_workers=2", "main_shard=false"), 150, ""),
        (("vectorization=async",), 150, ""),
    ],
)
def test_after_an_environment_has_raised_in_the_middle_of_a_rollout(
    layout: tuple[str, ...],
    at: int,
    broken: str,
    tmp_path: Path,
    sessions: Sessions,
    undisturbed: Callable[..., dict[str, Any]],
) -> None:
    """Some fifteen episodes ended and began within the rollout that is dropped."""
    long = ("num_envs=4", "n_step=32", "log_every=100", *ALL)
    breaking = (f"env.id={BREAKING}", f"env.kwargs={{folder:'{tmp_path}',at:{at}}}")
    (tmp_path / "broken").write_text(broken)
    with pytest.raises(EnvironmentFailure, match="the arm fell off"):
        sessions.run(*breaking, *long, *layout, "env.restarts=0", until=8)
    (tmp_path / "broken").unlink()
    (folder,) = tmp_path.glob("*/*_a2c-seed1")
    assert load_checkpoint(folder / "checkpoints" / "last.pt")["state"]["update"] == 4  # the fifth is dropped
    sessions.run(*layout, until=8, resume=folder)
    assert sessions.told(GO_ON)
    memory = [override for override in layout if "memory" in override]
    found, expected = left_by(folder), undisturbed("env.id=rebuilding_toys:Dice-v0", *long, SYNC, *memory, until=8)
    assert differences(found, expected) == []


APART = pytest.mark.parametrize(
    "layout", [(WORKERS, "num_workers=2", "main_shard=false"), ("vectorization=async",)], ids=" ".join
)
FAULTS = pytest.mark.parametrize(
    ("fault", "said"),
    [("raise", "environment 0 .*raised ZeroDivisionError"), ("hang", r"environment 0 did not answer in 0\.5 s")],
)


@pytest.mark.long
@APART
def test_what_hangs_in_the_trial_is_told_and_left_to_training(
    layout: tuple[str, ...], tmp_path: Path, sessions: Sessions, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "broken").touch()
    kwargs = f"env.kwargs={{folder:'{tmp_path}',at:10,fault:hang}}"
    restarted = layout[0] == WORKERS
    with contextlib.nullcontext() if restarted else pytest.raises(EnvironmentFailure, match="0 did not answer"):
        sessions.run(f"env.id={BREAKING}", *FEW, *layout, "env.step_timeout=0.5", kwargs, until=3)
    assert "which start over: in a trial, environment 0 did not answer in 0.5 s" in capsys.readouterr().out


@pytest.mark.long
@APART
@FAULTS
def test_what_fails_while_its_episode_is_played_again_is_named(
    layout: tuple[str, ...], fault: str, said: str, tmp_path: Path, sessions: Sessions, monkeypatch: pytest.MonkeyPatch
) -> None:
    kwargs = f"env.kwargs={{folder:'{tmp_path}',at:1,fault:{fault}}}"
    folder = sessions.run(f"env.id={BREAKING}", *FEW, *layout, "env.step_timeout=0.5", kwargs, until=3)
    load = Collector.load_state_dict

    def breaking(collector: Collector, state: dict[str, Any]) -> str:
        (tmp_path / "broken").touch()  # the trial is over
        return load(collector, state)

    monkeypatch.setattr(Collector, "load_state_dict", breaking)
    with pytest.raises(EnvironmentFailure, match=said.replace("0", r"\d", 1)):
        sessions.run(*layout, until=6, resume=folder)


def seeds_of_resets(monkeypatch: pytest.MonkeyPatch) -> list[list[int]]:
    seen: list[list[int]] = []
    reset = LockstepEnvs.reset

    def noting(envs: LockstepEnvs, seeds: Any) -> Any:
        seen.append(list(seeds))
        return reset(envs, seeds)

    monkeypatch.setattr(LockstepEnvs, "reset", noting)
    return seen


def test_what_nothing_can_rebuild_starts_over_from_seeds_of_its_own(
    sessions: Sessions, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    seeds = seeds_of_resets(monkeypatch)
    own = ("env.id=rebuilding_toys:OwnDice-v0", *FEW, SYNC)
    folder = sessions.run(*own, until=5)
    sessions.run(until=8, resume=folder)
    panel = " ".join(capsys.readouterr().out.split())
    assert "all but episodes in flight, which start over: step 0 of an episode differs when it is played" in panel
    assert sessions.told("episodes in flight start over: nothing was saved of them")
    assert seeds == [[env_seed(1, TRAIN, env) for env in range(4)], [env_seed(1, TRAIN, env, 5) for env in range(4)]]


def test_other_environments_drop_the_episodes_and_say_so(sessions: Sessions) -> None:
    folder = sessions.run(*DICE, SYNC, until=5)
    sessions.run("num_envs=3", until=8, resume=folder)
    assert sessions.told("episodes in flight start over: there were 4 environments, now there are 3")
    sessions.run("vectorization=sync", until=9, resume=folder)
    assert sessions.told(GO_ON)


def test_an_episode_that_does_not_come_to_where_it_was_starts_over(sessions: Sessions) -> None:
    """As in another version of the environment; the run goes on, and from then on exactly."""
    folder = sessions.run(*DICE, SYNC, until=5)
    with sessions.monkeypatch.context() as patch:
        patch.setattr(rebuilding_toys.Dice, "_obs", lambda dice: (dice.place + 1).astype("float32"))
        sessions.run(until=6, resume=folder)
        said = "\n".join(sessions.said)
        assert "all episodes in flight start over: environment 0: played again, it does not" in said
        sessions.run(until=9, resume=folder)
        assert sessions.told(GO_ON)


@pytest.mark.long
@pytest.mark.parametrize("apart", ["false", "true"])
def test_a_stop_in_an_evaluation_leaves_it_to_the_resumed_run(
    apart: str, sessions: Sessions, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In this process training waits for it; apart, training goes on beside it and so do rows that wait."""
    evaluating = (*CARTPOLE, SYNC, "eval.every=160", "eval.episodes=2", "eval.final_episodes=1", f"eval.apart={apart}")
    quiet = ("device=cpu", "wandb.mode=disabled", "gif=false", "total_steps=640", f"runs_dir={sessions.folder}")
    settings = (*evaluating, *quiet)
    begun: list[int] = []
    here, begin = Evaluators.here, Evaluators.begin

    def stopping(env_steps: int) -> None:
        begun.append(env_steps)
        if len(begun) == 2:
            signal.raise_signal(signal.SIGTERM)

    def evaluate_here(evaluators: Evaluators, network: Any, env_steps: int) -> Any:
        stopping(env_steps)
        return here(evaluators, network, env_steps)

    def evaluate_apart(evaluators: Evaluators, weights: Any, env_steps: int) -> None:
        begin(evaluators, weights, env_steps)
        stopping(env_steps)

    whole = Path(a2c.train(a2c.load_config(*settings, "name=whole")).folder)
    with monkeypatch.context() as patch:
        patch.setattr(Evaluators, "here", evaluate_here)
        patch.setattr(Evaluators, "begin", evaluate_apart)
        summary = a2c.train(a2c.load_config(*settings, "name=part"))
    assert summary.stopped == "SIGTERM"
    assert begun == [160, 320]
    part = Path(summary.folder)
    assert (LEFT if apart == "true" else WAITING_ROW) in load_checkpoint(part / "checkpoints" / "last.pt")
    assert [row["global_step"] for row in left_by(part)["rows"]] == [96, 160, 256]
    a2c.train(a2c.load_config(f"resume={part}"))
    assert differences(left_by(part), left_by(whole)) == []


@pytest.mark.long
def test_a_run_that_ended_goes_on_as_if_it_had_not(sessions: Sessions) -> None:
    def to(steps: int, **more: str) -> Path:
        quiet = (
            "lr_schedule=constant",
            "device=cpu",
            "wandb.mode=disabled",
            "gif=false",
            "eval.every=160",
            "eval.episodes=1",
        )
        end = (f"total_steps={steps}", "eval.final_episodes=1", f"runs_dir={sessions.folder}")
        overrides = [f"{key}={value}" for key, value in more.items()]
        settings = (
            (*overrides, *end)
            if "resume" in more
            else ("env.id=rebuilding_toys:Dice-v0", *FEW, SYNC, *quiet, *overrides, *end)
        )
        return Path(a2c.train(a2c.load_config(*settings)).folder)

    # without a schedule, which would know how far the run was to go
    once, twice = to(640, name="once"), to(320, name="twice")
    to(640, resume=str(twice))
    assert differences(left_by(twice), left_by(once)) == []


def test_a_run_of_version_0_1_goes_on_but_for_its_episodes(sessions: Sessions) -> None:
    folder = sessions.folder / "runs" / "CartPole-v1" / "2026-11-25_15-39-57_before"
    shutil.copytree(OLD_RUN, folder)
    before = load_checkpoint(folder / "checkpoints" / "last.pt")["state"]["update"]
    sessions.run("device=cpu", "total_steps=1_000_000", "eval.every=0", "gif=false", until=before + 2, resume=folder)
    (said,) = [line for line in sessions.said if line.startswith("resumed after")]
    assert said.endswith("episodes in flight start over: nothing was saved of them")
    assert load_checkpoint(folder / "checkpoints" / "last.pt")["state"]["update"] == before + 2


@pytest.mark.long
@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_process_that_was_ended_at_any_time(number: signal.Signals, sessions: Sessions) -> None:
    long = (*DICE, *QUIET, SYNC, "checkpoint.every=160", f"runs_dir={sessions.folder}", "name=ended")
    paths = [str(TESTS.parent / "src"), str(TESTS)]
    with (sessions.folder / "out.txt").open("w") as out:
        training = subprocess.Popen(
            [sys.executable, "-m", "a2c", "train", *long],
            stdin=subprocess.DEVNULL, stdout=out, stderr=out, cwd=sessions.folder,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
        )  # fmt: skip
        try:
            wait_for(training, lambda: [row for row in rows_below(sessions.folder) if row["global_step"] >= 320])
            training.send_signal(number)
            assert training.wait(PATIENCE) == (143 if number == signal.SIGTERM else -number)
        finally:
            training.kill()
            training.wait()
    (folder,) = sessions.folder.glob("*/*_ended")
    reached = load_checkpoint(folder / "checkpoints" / "last.pt")["state"]["update"]
    assert reached > 0
    sessions.run(until=reached + 7, resume=folder)
    assert sessions.told(GO_ON)
    whole = sessions.run(*DICE, SYNC, "checkpoint.every=160", "name=whole", until=reached + 7)
    assert differences(left_by(folder), left_by(whole)) == []


def rows_below(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for path in folder.glob("*/*/metrics.jsonl") for line in path.read_text().splitlines(True)
            if line.endswith("\n")]  # fmt: skip


def wait_for(process: subprocess.Popen[bytes], ready: Callable[[], object]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not ready():
        assert process.poll() is None, "it ended by itself"
        assert time.monotonic() < deadline, "it took too long"
        time.sleep(0.02)
