"""Several ranks train one run: its rows, episodes and checkpoints are those of one process, and so is its end."""

from __future__ import annotations

import dataclasses
import os
import threading
from pathlib import Path
from typing import Any

import pytest
import torch
from gymnasium.envs.classic_control import CartPoleEnv

from a2c import trainer
from a2c.collecting.rank_states import state_of_rows
from a2c.envs.single.own import known
from a2c.errors import A2CError, CallbackFailure, EnvironmentFailure, NumericError, RankFailure
from a2c.learning.learner import Learner
from a2c.machine.one_rank import rows_of
from a2c.machine.rank_group import Ranks
from a2c.run.callback import Callback
from a2c.run.progress import Progress
from a2c.run.replaying import replay
from a2c.run.summary import Summary
from a2c.settings.config import Config
from a2c.storage.checkpoint import load_checkpoint
from a2c.storage.metrics_file import METRICS, read_rows
from builders import config
from rank_threads import together

NUM_ENVS, N_STEP = 5, 4
ROLLOUT = NUM_ENVS * N_STEP


def light(folder: Path, **changes: Any) -> Config:
    return config(
        **{
            "runs_dir": str(folder),
            "env": {"max_episode_steps": 12},
            "num_envs": NUM_ENVS,
            "n_step": N_STEP,
            "total_steps": 30 * ROLLOUT,
            "log_every": 5 * ROLLOUT,
            "checkpoint": {"every": 10 * ROLLOUT},
            "eval": {"every": 15 * ROLLOUT, "episodes": 1, "final_episodes": 1, "apart": "false"},
            "vectorization": "sync",
            "threads": 1,
            **changes,
        }
    )


def trained(cfg: Config, folder: Path, size: int, callback: Callback | None = None) -> Summary:
    """Train with so many ranks, 0 being none."""
    if size == 0:
        return trainer.train(cfg, folder, callback=callback)

    def work(ranks: Ranks) -> Summary:
        return trainer.train_rank(cfg, folder, ranks, callback=callback if ranks.leads else None)

    first, *others = together(size, work)
    assert all(other == first for other in others)
    return first


def rows_of_run(folder: Path) -> list[dict[str, Any]]:
    """Its metrics, but for times."""
    return [
        {key: value for key, value in row.items() if not key.startswith("time/")} for row in read_rows(folder / METRICS)
    ]


def assert_same(one: Path, other: Path) -> None:
    """Two runs have the same rows, and the same last checkpoint, to float tolerance."""
    for found, expected in zip(rows_of_run(one), rows_of_run(other), strict=True):
        assert found.keys() == expected.keys()
        for key, value in expected.items():
            assert found[key] == pytest.approx(value, rel=1e-4, abs=1e-5), key
    found, expected = (load_checkpoint(folder / "checkpoints" / "last.pt") for folder in (one, other))
    for name, tensor in expected["learner"]["model"].items():
        torch.testing.assert_close(found["learner"]["model"][name], tensor, rtol=1e-4, atol=1e-5)
    assert torch.equal(found["collector"]["episodes"][:, 0], expected["collector"]["episodes"][:, 0])  # in their order
    torch.testing.assert_close(found["collector"]["episodes"], expected["collector"]["episodes"])
    assert _shapes(found["collector"]) == _shapes(expected["collector"])
    assert found["state"]["episodes"] == expected["state"]["episodes"]


def _shapes(tree: Any) -> Any:
    """A state without its numbers: what one process could go on from."""
    if isinstance(tree, dict):
        return {key: _shapes(part) for key, part in tree.items()}
    if isinstance(tree, list | tuple):
        return [_shapes(part) for part in tree]
    return tuple(tree.shape) if isinstance(tree, torch.Tensor) else type(tree)


NORMALISED = {
    "env": {"id": "Pendulum-v1", "max_episode_steps": 12},
    "normalize_obs": True,
    "normalize_reward": True,
    "normalize_advantage": True,
    "max_grad_norm": 0.5,
}


@pytest.mark.parametrize("changes", [{}, NORMALISED, {"env_groups": 2, "network": {"memory": "gru"}}], ids=str)
def test_a_run_does_not_depend_on_how_many_ranks_train_it(tmp_path, changes):
    cfg = light(tmp_path, **changes)
    trained(cfg, tmp_path / "alone", 0)
    for size in (1, 2, 3):
        summary = trained(cfg, tmp_path / f"by-{size}", size)
        assert (summary.env_steps, summary.updates) == (30 * ROLLOUT, 30)
        assert_same(tmp_path / f"by-{size}", tmp_path / "alone")


WHOLE = {"beta": 0.05, "max_grad_norm": 0.5, "optimizer": "adam", "normalize_value": True}


@pytest.mark.parametrize(
    ("changes", "sizes"),
    [
        (WHOLE, (1, 2, 4, 8)),
        ({**NORMALISED, **WHOLE, "policy": {"distribution": "squashed"}}, (2, 8)),
        pytest.param(
            {**WHOLE, "network": {"memory": "lstm", "memory_size": 16}, "value_loss": "huber"},
            (4,),
            marks=pytest.mark.long,
        ),
        pytest.param(
            {**WHOLE, "env": {"id": "pictures:Side-v0", "max_episode_steps": 12}, "normalize_advantage": True},
            (2,),
            marks=pytest.mark.long,
        ),
    ],
    ids=["CartPole", "Pendulum, all normalised", "a memory", "images"],
)
def test_deterministic_ranks_give_the_same_bytes(tmp_path, changes, sizes):
    cfg = light(tmp_path, num_envs=9, deterministic_ranks=True, total_steps=20 * 9 * N_STEP, **changes)
    trained(cfg, tmp_path / "alone", 0)
    expected = load_checkpoint(tmp_path / "alone" / "checkpoints" / "last.pt")
    for size in sizes:
        trained(cfg, tmp_path / f"by-{size}", size)
        assert rows_of_run(tmp_path / f"by-{size}") == rows_of_run(tmp_path / "alone")
        found = load_checkpoint(tmp_path / f"by-{size}" / "checkpoints" / "last.pt")
        for part in ("learner", "collector"):
            assert _bytes(found[part]) == _bytes(expected[part])


def _bytes(tree: Any) -> Any:
    """A state with the bytes of its tensors, and without when calls were made."""
    if isinstance(tree, dict):
        return {key: _bytes(part) for key, part in tree.items()}
    if isinstance(tree, list | tuple):
        return [_bytes(part) for part in tree]
    return tree.numpy().tobytes() if isinstance(tree, torch.Tensor) else tree


@pytest.mark.parametrize("sizes", [(2, 2), (2, 3), (3, 0), (0, 2)], ids=str)
def test_a_run_goes_on_with_any_number_of_ranks(tmp_path, sizes):
    cfg = light(tmp_path, **NORMALISED)
    trained(cfg, tmp_path / "whole", 0)
    before, after = sizes
    part = dataclasses.replace(cfg, stop_at=None, total_steps=20 * ROLLOUT)  # ends with a checkpoint
    cut = dataclasses.replace(part, eval=dataclasses.replace(cfg.eval, every=0, episodes=0))
    trained(cut, tmp_path / "cut", before)
    resumed = dataclasses.replace(cfg, resume=str(tmp_path / "cut"))
    trained(resumed, tmp_path / "cut", after)
    found, expected = rows_of_run(tmp_path / "cut")[-1], rows_of_run(tmp_path / "whole")[-1]
    for key, value in expected.items():
        assert found[key] == pytest.approx(value, rel=1e-4, abs=1e-5), key
    ours, theirs = (load_checkpoint(tmp_path / name / "checkpoints" / "last.pt") for name in ("cut", "whole"))
    for name, tensor in theirs["learner"]["model"].items():
        torch.testing.assert_close(ours["learner"]["model"][name], tensor, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(ours["collector"]["episodes"], theirs["collector"]["episodes"])


def test_a_stop_between_two_reports_loses_no_sum_of_any_rank(tmp_path):
    cfg = light(tmp_path, **NORMALISED)

    def stopped(ranks: Ranks) -> Summary:
        stop_when = ranks.stop_when
        # The second rank is asked in its 13th update: two sums more than updates, for as many reports.
        ranks.stop_when = lambda _: stop_when(lambda: ranks.rank == 1 and ranks._sums >= 13 + 2)  # type: ignore[method-assign]
        return trainer.train_rank(cfg, tmp_path / "cut", ranks)

    assert [summary.stopped for summary in together(2, stopped)] == ["SIGTERM", "SIGTERM"]
    assert load_checkpoint(tmp_path / "cut" / "checkpoints" / "last.pt")["state"]["update"] == 13
    trained(cfg, tmp_path / "whole", 0)
    trained(dataclasses.replace(cfg, resume=str(tmp_path / "cut")), tmp_path / "cut", 3)
    assert_same(tmp_path / "cut", tmp_path / "whole")


@pytest.mark.parametrize("count", [4, 2 * NUM_ENVS])
def test_another_number_of_environments_says_what_is_dropped(tmp_path, capsys, count):
    trained(light(tmp_path, total_steps=10 * ROLLOUT, **NORMALISED), tmp_path / "run", 2)
    more = light(tmp_path, num_envs=count, resume=str(tmp_path / "run"), **NORMALISED)
    trained(more, tmp_path / "run", 2)
    assert f"episodes in flight start over: there were 5 environments, now there are {count}" in capsys.readouterr().out


def test_a_state_of_fewer_environments_goes_to_no_rank_twice():
    saved = {"episodes": [None, None], "actions": None, "obs": torch.zeros(2, 4)}
    state = {"reward_normalizer": {"mean": 0.0, "running": torch.ones(2)}, "in_flight": saved}
    for rank in range(2):
        own = state_of_rows(state, rows_of(rank, 2, 4), 4)
        assert own["in_flight"] is None
        assert len(own["reward_normalizer"]["running"]) == 0


def test_a_callback_sees_the_episodes_of_all_ranks_and_calls_all_environments(tmp_path):
    def watched(size: int) -> tuple[list[Any], list[Any]]:
        seen: list[Any] = []
        called: list[Any] = []

        def look(progress: Progress) -> dict[str, float]:
            seen.extend((one.env, one.reward, one.length) for one in progress.episodes)
            called.append(len(progress.call("get_wrapper_attr", "spec")))
            if progress.update >= 15:
                progress.stop("seen enough")
            return {"ended": len(progress.episodes)}

        summary = trained(light(tmp_path), tmp_path / f"by-{size}", size, Callback(look))
        assert summary.ended == "seen enough"
        assert summary.updates == 15
        return seen, called

    alone, by_three = watched(0), watched(3)
    assert alone == by_three
    assert set(alone[1]) == {NUM_ENVS}


class Broken(CartPoleEnv):
    """It fails on the second rank, after some steps."""

    def __init__(self) -> None:
        super().__init__()
        self.left = 100

    def step(self, action: Any) -> Any:
        self.left -= 1
        if self.left < 0 and threading.current_thread().name == "rank-1":
            raise RuntimeError("a wheel came off")
        return super().step(action)


def errors_of(cfg: Config, folder: Path, size: int) -> list[BaseException | None]:
    def work(ranks: Ranks) -> BaseException | None:
        try:
            trainer.train_rank(cfg, folder, ranks)
        except A2CError as error:
            return error
        return None

    return together(size, work)


def test_all_ranks_end_when_one_fails_and_say_why(tmp_path):
    cfg = light(tmp_path, env={"id": known(Broken), "restarts": 0}, eval={"episodes": 0})
    first, second, third = errors_of(cfg, tmp_path / "run", 3)
    assert isinstance(second, EnvironmentFailure)
    assert "environment 1 raised RuntimeError in step" in str(second)
    for other in (first, third):
        assert isinstance(other, RankFailure)
        assert other.ended
        assert "rank 1 has ended: environment error: environment 1 raised RuntimeError" in str(other)


def test_an_update_that_one_rank_must_refuse_is_refused_by_all_and_saved(tmp_path, monkeypatch):
    true_update = Learner.update

    def poisoned(self: Learner, rollout: Any, env_steps: int) -> None:
        if threading.current_thread().name == "rank-1" and env_steps == 12 * ROLLOUT:
            rollout.rewards[0, 0] = torch.nan
        true_update(self, rollout, env_steps)

    monkeypatch.setattr(Learner, "update", poisoned)
    errors = errors_of(light(tmp_path, eval={"episodes": 0}), tmp_path / "run", 2)
    assert [type(error) for error in errors] == [NumericError, NumericError]
    assert "the numbers are those of rank 1; to see where it began: a2c replay" in str(errors[0])
    (dumped,) = (tmp_path / "run").glob("numeric-*.pt")
    rewards = load_checkpoint(dumped)["evidence"]["rollout"]["rewards"]
    assert rewards.shape == (N_STEP, NUM_ENVS - NUM_ENVS // 2)  # the second rank's
    shown = replay(dumped)
    assert shown.again
    assert shown.found is not None
    assert "rewards[0, 0] = nan" in shown.found
    saved = load_checkpoint(tmp_path / "run" / "checkpoints" / "last.pt")
    assert saved["state"]["update"] == 12
    assert all(tensor.isfinite().all() for tensor in saved["learner"]["model"].values())
    assert len(saved["collector"]["in_flight"]["episodes"]) == NUM_ENVS


def test_a_number_of_one_ranks_environment_is_dumped_by_that_rank(tmp_path):
    class Wrong(CartPoleEnv):
        """It gives a reward that is no number on the second rank, after some steps."""

        left = 100

        def step(self, action: Any) -> Any:
            self.left -= 1
            obs, reward, *rest = super().step(action)
            wrong = self.left < 0 and threading.current_thread().name == "rank-1"
            return obs, float("nan") if wrong else reward, *rest

    first, second = errors_of(light(tmp_path, env={"id": known(Wrong)}, eval={"episodes": 0}), tmp_path / "run", 2)
    assert isinstance(second, NumericError)
    (dumped,) = (tmp_path / "run").glob("numeric-*.pt")
    assert dumped.name.endswith("-rank-1.pt")
    assert f"a2c replay {os.path.relpath(dumped)}" in str(second)
    assert "gave the reward nan" in str(first)
    assert replay(dumped).again


def test_a_callback_that_fails_leaves_a_checkpoint_of_that_report(tmp_path):
    def fail(progress: Progress) -> None:
        if progress.update >= 15:
            raise ValueError("cannot go on")

    def work(ranks: Ranks) -> BaseException | None:
        try:
            trainer.train_rank(
                light(tmp_path), tmp_path / "run", ranks, callback=Callback(fail) if ranks.leads else None
            )
        except A2CError as error:
            return error
        return None

    first, second = together(2, work)
    assert isinstance(first, CallbackFailure)
    assert isinstance(second, RankFailure)
    assert "rank 0 has ended: callback error" in str(second)
    saved = load_checkpoint(tmp_path / "run" / "checkpoints" / "last.pt")
    assert saved["state"]["update"] == 15
    assert len(saved["collector"]["in_flight"]["episodes"]) == NUM_ENVS


def test_a_rank_whose_weights_went_elsewhere_is_named(tmp_path, monkeypatch):
    true_update = Learner.update

    def astray(self: Learner, rollout: Any, env_steps: int) -> None:
        true_update(self, rollout, env_steps)
        if threading.current_thread().name == "rank-1" and env_steps > 10 * ROLLOUT:
            self.weights.data[0] += 1e-7

    monkeypatch.setattr(Learner, "update", astray)
    first, second = errors_of(light(tmp_path), tmp_path / "run", 2)
    assert str(first) == "rank error: the weights of rank 1 are not those of rank 0: they diverged"
    assert isinstance(second, RankFailure)
    assert second.ended
