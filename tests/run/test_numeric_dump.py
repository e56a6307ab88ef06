"""A number that is not finite ends a run with its last sound weights and a dump, and the dump shows where it began."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
import torch

import a2c
import faulty  # noqa: F401  registers environments
from a2c import cli
from a2c.errors import CheckpointError, NumericError
from a2c.learning.learner import Learner
from a2c.machine.graphs import Graphs
from a2c.run.numeric_dump import dump, last_sound
from a2c.run.replaying import replay
from a2c.run.state import TrainState
from a2c.settings.config import Config
from a2c.storage.checkpoint import load_checkpoint, save_checkpoint
from builders import VECTOR, config, kept, make_model, random_rollout
from capturing import FakeCuda, visible

SECRET = "hunter2-of-the-simulator"


def settings(runs: Path, fault: str, *overrides: str) -> Config:
    return a2c.load_config(
        *("env.id=faulty:Numbers-v0", "algo=a2c_paper"),
        f"env.kwargs={{fault:{fault},token:{SECRET}}}",
        *("num_envs=3", "n_step=4", "total_steps=600", "log_every=60", "eval.every=0", "checkpoint.every=0"),
        *("eval.episodes=1", "eval.final_episodes=1", "device=cpu", "wandb.mode=disabled", "gif=false"),
        *("optimizer=adam", "normalize_obs=true", "vectorization=sync", "seed=4", f"runs_dir={runs}"),
        *overrides,
    )


def failed(runs: Path, fault: str, *overrides: str) -> tuple[NumericError, Path, list[Path]]:
    """The error of a training, the folder of its run, and its dumps."""
    with pytest.raises(NumericError) as caught:
        a2c.train(settings(runs, fault, *overrides))
    (folder,) = runs.glob("*/2*")
    return caught.value, folder, sorted(folder.glob("numeric-*.pt"))


def bits(learner: dict[str, dict[str, torch.Tensor]]) -> dict[str, bytes]:
    parts = (learner["model"], learner["optimizer"])
    return {name: one.numpy().tobytes() for part in parts for name, one in part.items()}


LAYOUTS = [
    ("vectorization=sync",),
    ("vectorization=workers", "num_workers=2"),
    ("vectorization=async",),
    ("vectorization=sync", "env_groups=3"),
]


@pytest.mark.parametrize("layout", LAYOUTS, ids=" ".join)
@pytest.mark.parametrize(
    ("fault", "said", "found"),
    [
        (
            "none",
            "environment 0 gave the reward nan in step 41",
            "rewards[0, 0] = nan; environment 0 gave it in step 41",
        ),
        (
            "observation",
            r"environment 0 gave the observation [  0. -inf]",
            "observations[1, 0, 1] = -inf; environment 0",
        ),
    ],
)
def test_what_an_environment_gives_is_named_and_dumped(
    tmp_path: Path, layout: tuple[str, ...], fault: str, said: str, found: str
) -> None:
    error, folder, (path,) = failed(tmp_path, fault, *layout)
    assert said in str(error)
    assert f"a2c replay {path}" in str(error) or path.name in str(error)
    assert path.name == "numeric-120.pt"  # ten rollouts of 4 steps in 3 environments
    last = load_checkpoint(folder / "checkpoints" / "last.pt")
    assert last["state"]["env_steps"] == 120
    assert last["state"]["update"] == 10
    shown = replay(path)
    assert shown.again
    assert shown.found is not None
    assert found in shown.found, shown.found


@pytest.mark.parametrize(
    "algo",
    [(), pytest.param(("algo=a3c", "num_workers=1", "shared_statistics=false"), marks=pytest.mark.long)],
    ids=["a2c", "a3c"],
)
def test_an_overflow_loses_one_rollout_and_no_bit_of_what_was_sound(tmp_path: Path, algo: tuple[str, ...]) -> None:
    """3e38 is a number, but the sum of two is none in float32."""
    error, folder, (path,) = failed(tmp_path / "fails", "overflow", *algo)
    assert error.exit_code == 4
    assert "the update after 120 steps is not finite; it was not applied" in str(error)
    last = load_checkpoint(folder / "checkpoints" / "last.pt")
    until = a2c.train(settings(tmp_path / "until", "overflow", "total_steps=120", *algo))  # ends before the failure
    sound = load_checkpoint(Path(until.last_checkpoint))
    assert bits(last["learner"]) == bits(sound["learner"])
    assert (last["state"]["env_steps"], last["state"]["update"]) == (120, 10)

    dumped = load_checkpoint(path)
    assert bits(dumped["learner"]) == bits(sound["learner"])
    shown = replay(path)
    assert shown.again
    assert shown.found is not None
    # The last step of the rollout that overflows: 3e38 and 0.99 times the return after it
    assert shown.found.startswith("returns[2, 0] = inf, from rewards[2, 0] = 3e+38, next values[2, 0] = ")
    assert shown.found.endswith("returns[3, 0] = 3e+38")
    assert "log-probabilities" in shown.sound
    for line in (folder / "metrics.jsonl").read_text().splitlines():
        json.loads(line, parse_constant=pytest.fail)


def test_a_reward_that_float32_cannot_hold_is_named_unless_signs_are_learned_from(tmp_path: Path) -> None:
    error, _, _ = failed(tmp_path / "fails", "double")
    assert "environment 0 gave the reward 1.e+300 in step 41; every one must be finite in float32" in str(error)
    assert a2c.train(settings(tmp_path / "signs", "double", "env.clip_reward=true")).env_steps == 600


@pytest.mark.parametrize("fault", ["none", "overflow"])
def test_no_secret_stands_in_a_dump_and_it_needs_no_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], fault: str
) -> None:
    _, _, (path,) = failed(tmp_path, fault)
    assert SECRET.encode() not in path.read_bytes()
    assert load_checkpoint(path)["config"]["env"]["kwargs"] == {"fault": fault, "token": "<redacted>"}
    monkeypatch.setattr("gymnasium.make", lambda *args, **kwargs: pytest.fail("it makes the environment"))
    capsys.readouterr()
    assert cli.main(["replay", str(path)]) == 0
    said = capsys.readouterr().out
    assert "seed 4" in said
    assert "the first number that is not finite: re" in said


def test_a_dump_that_does_not_fail_here_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _, _, (path,) = failed(tmp_path, "overflow")
    mended = load_checkpoint(path)
    mended["evidence"]["rollout"]["rewards"].fill_(1.0)
    save_checkpoint(path, {key: value for key, value in mended.items() if key != "format"})
    assert cli.main(["replay", f"dump={path}"]) == 4
    assert f"{path} does not fail here: every number is finite" in capsys.readouterr().err


def test_what_is_no_dump_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["replay"]) == 2
    assert cli.main(["replay", "a.pt", "b.pt"]) == 2
    assert cli.main(["replay", str(tmp_path / "none.pt")]) == 5
    parts: dict[str, Any] = {part: {} for part in ("config", "spec", "learner", "state")}
    save_checkpoint(tmp_path / "last.pt", parts)
    with pytest.raises(CheckpointError, match="lacks evidence; it is no dump of a numeric error"):
        replay(tmp_path / "last.pt")
    save_checkpoint(tmp_path / "odd.pt", {**parts, "evidence": {}})
    with pytest.raises(CheckpointError, match="does not fit together"):
        replay(tmp_path / "odd.pt")
    assert "a2c replay takes one dump, got none" in capsys.readouterr().err


def test_on_a_gpu_all_updates_after_a_refused_one_wait_for_the_report(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Graphs that are tapes: the host reads nothing during updates, and the rollout is kept although overwritten."""
    visible(monkeypatch)
    cuda = FakeCuda(monkeypatch)
    cfg = config(optimizer="adam", normalize_obs=True, lr_schedule="linear", num_envs=3, n_step=4)
    model = make_model(VECTOR, cfg)
    rollouts = [random_rollout(model, 4, 3, seed=k)[0] for k in range(5)]
    rollouts[2].rewards[1, 2] = torch.nan
    memory = kept(rollouts[0])
    learner = Learner(model, cfg, graphs=Graphs(pytest.fail))
    sound: dict[str, bytes] = {}
    state = TrainState()
    for k, rollout in enumerate(rollouts):
        for name in ("obs", "actions", "rewards", "terminated", "truncated", "final_values"):
            getattr(memory, name).copy_(getattr(rollout, name))
        if k == 2:
            sound = bits(learner.state_dict())
        learner.update(memory, state.env_steps)
        state = state.after(memory.transitions)
    assert cuda.replays == 5
    assert bits(learner.state_dict()) == sound
    with pytest.raises(NumericError, match="the update after 24 steps is not finite") as caught:
        learner.drain_metrics(state.env_steps)
    assert caught.value.evidence is not None
    found = caught.value.evidence["rollout"]
    assert torch.equal(found["rewards"].nan_to_num(7.0), rollouts[2].rewards.nan_to_num(7.0))
    assert torch.equal(found["obs"], rollouts[2].obs)

    where = last_sound(caught.value, learner, state)
    assert where == TrainState(env_steps=24, update=2)
    dump(caught.value, cfg, learner, where, tmp_path)
    shown = replay(tmp_path / "numeric-24.pt")
    assert shown.again
    assert shown.found == "rewards[1, 2] = nan"
    assert asdict(where) == load_checkpoint(tmp_path / "numeric-24.pt")["state"]
