"""The ranks share out the episodes of an evaluation: its scores, and what follows, are those of one process."""

from __future__ import annotations

import dataclasses
import threading
from pathlib import Path
from typing import Any

import gymnasium as gym
import pytest
from gymnasium.envs.classic_control import CartPoleEnv

from a2c import trainer
from a2c.envs.single.own import known
from a2c.errors import A2CError, EnvironmentFailure, RankFailure
from a2c.machine.rank_group import Ranks
from a2c.playing.evaluation import EvalResult, Evaluator, eval_seeds
from a2c.run.callback import Callback
from a2c.run.evaluators import Evaluators
from a2c.run.progress import Progress
from a2c.run.shared_evaluation import joined
from a2c.run.summary import Summary
from a2c.settings.config import Config
from a2c.storage.checkpoint import load_checkpoint
from a2c.storage.metrics_file import METRICS, read_rows
from builders import config
from rank_threads import together

NUM_ENVS, N_STEP = 4, 4
ROLLOUT = NUM_ENVS * N_STEP
EPISODES = 7  # which neither 2 nor 3 ranks share out evenly


def light(folder: Path, **changes: Any) -> Config:
    return config(
        **{
            "runs_dir": str(folder),
            "env": {"max_episode_steps": 60},
            "num_envs": NUM_ENVS,
            "n_step": N_STEP,
            "total_steps": 12 * ROLLOUT,
            "log_every": 4 * ROLLOUT,
            "checkpoint": {"every": 0},
            "eval": {"every": 4 * ROLLOUT, "episodes": EPISODES, "final_episodes": EPISODES, "apart": "auto"},
            "vectorization": "sync",
            "threads": 1,
            "lr": 0.02,
            **changes,
        }
    )


def trained(cfg: Config, folder: Path, size: int, callback: Callback | None = None) -> Summary:
    """Train with so many ranks, 0 being none."""
    if size == 0:
        return trainer.train(cfg, folder, callback=callback)

    def work(ranks: Ranks) -> Summary:
        return trainer.train_rank(cfg, folder, ranks, callback=callback if ranks.leads else None)

    return together(size, work)[0]


def scores_of(folder: Path) -> list[float]:
    """Means and deviations, one after the other."""
    rows = read_rows(folder / METRICS)
    return [row[name] for row in rows for name in ("eval/mean_reward", "eval/std_reward") if name in row]


class Various(CartPoleEnv):
    """Its episodes have 3 to 42 steps, as their seeds say; the reward is the action."""

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        self.left = 3 + (seed or 0) % 40
        return super().reset(seed=seed, options=options)

    def step(self, action: Any) -> Any:
        obs, _, _, truncated, info = super().step(action)
        self.left -= 1
        self.steps_beyond_terminated = None  # it never falls
        return obs.clip(-4, 4), float(action), self.left == 0, truncated, info


@pytest.fixture
def played(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, list[int]]]:
    """By which thread the episodes of which seeds were played, from now on."""
    found: list[tuple[str, list[int]]] = []
    run = Evaluator.run

    def noted(self: Evaluator, policy: Any, seeds: list[int], **more: Any) -> Any:
        found.append((threading.current_thread().name, seeds))
        return run(self, policy, seeds, **more)

    monkeypatch.setattr(Evaluator, "run", noted)
    return found


@pytest.mark.parametrize("changes", [{}, {"network": {"memory": "gru", "memory_size": 8}}], ids=["", "memory"])
def test_episodes_scores_and_the_best_are_those_of_one_process(tmp_path, played, changes):
    cfg = light(tmp_path, env={"id": known(Various)}, **changes)
    assert len({seed % 40 for seed in eval_seeds(cfg.seed, EPISODES)}) > 5  # steps
    alone = trained(cfg, tmp_path / "alone", 0)
    best = load_checkpoint(tmp_path / "alone" / "checkpoints" / "best.pt")["state"]
    for size in (2, 3):
        played.clear()
        summary = trained(cfg, tmp_path / f"by-{size}", size)
        assert scores_of(tmp_path / f"by-{size}") == pytest.approx(scores_of(tmp_path / "alone"))
        assert (summary.eval_mean, summary.best_step) == (pytest.approx(alone.eval_mean), alone.best_step)
        found = load_checkpoint(tmp_path / f"by-{size}" / "checkpoints" / "best.pt")["state"]
        assert (found["env_steps"], found["best_eval"]) == (best["env_steps"], pytest.approx(best["best_eval"]))
        # 3 evaluations and the final one; each rank has its rows of the seeds, as many as the others but for one.
        assert len(played) == 4 * size
        for rank in range(size):
            rows = slice(rank * EPISODES // size, (rank + 1) * EPISODES // size)
            own = [seeds for thread, seeds in played if thread == f"rank-{rank}"]
            assert own == [eval_seeds(cfg.seed, EPISODES)[rows]] * 3 + [
                eval_seeds(cfg.seed, EPISODES, final=True)[rows]
            ]


def test_with_fewer_episodes_than_ranks_some_have_none(tmp_path, played):
    cfg = light(tmp_path, eval={"every": 0, "episodes": 1, "final_episodes": 1, "apart": "false"})
    alone = trained(cfg, tmp_path / "alone", 0)
    assert trained(cfg, tmp_path / "run", 2).eval_mean == pytest.approx(alone.eval_mean)
    assert [thread for thread, _ in played[1:]] == ["rank-1"]


def test_deterministic_ranks_have_the_same_scores_to_the_bit(tmp_path):
    pendulum = {"id": "Pendulum-v1", "max_episode_steps": 30}
    cfg = light(tmp_path, env=pendulum, deterministic_ranks=True, normalize_obs=True)
    trained(cfg, tmp_path / "alone", 0)
    trained(cfg, tmp_path / "by-4", 4)
    assert scores_of(tmp_path / "by-4") == scores_of(tmp_path / "alone")


def test_an_evaluation_in_a_process_of_its_own_stays_the_first_ranks(tmp_path, monkeypatch):
    begun: list[str] = []
    monkeypatch.setattr(Evaluators, "_start", lambda self: begun.append(threading.current_thread().name))
    monkeypatch.setattr("a2c.run.evaluators.START_SECONDS", 0.0)
    trained(light(tmp_path), tmp_path / "auto", 2)
    assert begun == []  # auto: all ranks play, and none waits for another process
    both = light(tmp_path, eval={"every": 4 * ROLLOUT, "episodes": 3, "final_episodes": 3, "apart": "true"})
    trained(both, tmp_path / "true", 2)
    assert set(begun) == {"rank-0"}


def test_stop_at_and_a_callback_see_the_scores_of_all(tmp_path):
    def look(seen: list[float], progress: Progress) -> None:
        seen.append(progress.metrics.get("eval/mean_reward", -1.0))

    seen: dict[int, list[float]] = {0: [], 2: []}
    for size, own in seen.items():
        cfg = light(tmp_path, stop_at=5.0)  # which any policy reaches
        summary = trained(cfg, tmp_path / f"by-{size}", size, Callback(lambda progress, own=own: look(own, progress)))
        assert summary.ended is not None
        assert summary.updates == 4
    assert seen[2] == pytest.approx(seen[0])


class Judged(CartPoleEnv):
    """In episodes of the given seeds, ``at`` is done in the third step."""

    seeds: frozenset[int] = frozenset()

    def at(self) -> None:
        raise ZeroDivisionError("broken where it is judged")

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        self.steps, self.judged = 0, seed in self.seeds
        return super().reset(seed=seed, options=options)

    def step(self, action: Any) -> Any:
        self.steps += 1
        if self.judged and self.steps == 3:
            self.at()
        return super().step(action)


def limited(maker: type[CartPoleEnv]) -> Any:
    return known(lambda: gym.wrappers.TimeLimit(maker(), 30))


def errors_of(cfg: Config, folder: Path, size: int) -> list[BaseException | None]:
    def work(ranks: Ranks) -> BaseException | None:
        try:
            trainer.train_rank(cfg, folder, ranks)
        except A2CError as error:
            return error
        return None

    return together(size, work)


@pytest.mark.parametrize("rank", [0, 1])
def test_an_episode_that_fails_on_any_rank_ends_all_named_and_saved(tmp_path, monkeypatch, rank):
    cfg = light(tmp_path, env={"id": limited(Judged)})
    seeds = eval_seeds(cfg.seed, EPISODES)
    monkeypatch.setattr(Judged, "seeds", frozenset([seeds[0 if rank == 0 else -1]]))
    first, second = errors_of(cfg, tmp_path / "run", 2)
    assert isinstance(first, EnvironmentFailure)
    where = "environment 0" if rank == 0 else "rank 1: environment 3"
    assert str(first).startswith(f"environment error: {where} of the evaluation (pid ")
    assert "raised ZeroDivisionError in step 3: broken where it is judged" in str(first)
    assert isinstance(second, RankFailure)
    assert "rank 0 has ended: environment error" in str(second)
    saved = load_checkpoint(tmp_path / "run" / "checkpoints" / "last.pt")
    assert saved["state"]["update"] == 4
    assert len(saved["collector"]["in_flight"]["episodes"]) == NUM_ENVS


def test_whoever_is_asked_to_stop_ends_the_evaluation_of_all_and_a_resumed_run_makes_it_again(tmp_path, monkeypatch):
    asked = threading.Event()
    cfg = light(tmp_path, env={"id": limited(Judged)})
    monkeypatch.setattr(Judged, "seeds", frozenset([eval_seeds(cfg.seed, EPISODES)[-1]]))
    monkeypatch.setattr(Judged, "at", lambda self: asked.set())  # by the second rank

    def stopped(ranks: Ranks) -> Summary:
        stop_when = ranks.stop_when
        ranks.stop_when = lambda _: stop_when(lambda: ranks.rank == 1 and asked.is_set())  # type: ignore[method-assign]
        return trainer.train_rank(cfg, tmp_path / "cut", ranks)

    assert [summary.stopped for summary in together(2, stopped)] == ["SIGTERM", "SIGTERM"]
    saved = load_checkpoint(tmp_path / "cut" / "checkpoints" / "last.pt")
    assert saved["state"]["update"] == 4  # not one more
    assert scores_of(tmp_path / "cut") == []
    monkeypatch.setattr(Judged, "at", lambda self: None)
    trained(dataclasses.replace(cfg, resume=str(tmp_path / "cut")), tmp_path / "cut", 3)
    trained(cfg, tmp_path / "whole", 0)
    assert scores_of(tmp_path / "cut") == pytest.approx(scores_of(tmp_path / "whole"))


def test_after_a_rank_has_died_in_an_evaluation_it_is_made_again(tmp_path, monkeypatch):
    cfg = light(tmp_path, env={"id": limited(Judged)})
    monkeypatch.setattr(Judged, "seeds", frozenset([eval_seeds(cfg.seed, EPISODES)[-1]]))

    def dies(self: Judged) -> None:
        raise KeyboardInterrupt  # no error of the run's

    monkeypatch.setattr(Judged, "at", dies)

    def work(ranks: Ranks) -> BaseException | None:
        try:
            trainer.train_rank(cfg, tmp_path / "run", ranks)
        except (A2CError, KeyboardInterrupt) as error:
            return error
        return None

    first, second = together(2, work)
    assert isinstance(first, RankFailure)
    assert isinstance(second, KeyboardInterrupt)
    monkeypatch.setattr(Judged, "at", lambda self: None)
    trained(dataclasses.replace(cfg, resume=str(tmp_path / "run")), tmp_path / "run", 2)
    trained(cfg, tmp_path / "whole", 0)
    assert scores_of(tmp_path / "run") == pytest.approx(scores_of(tmp_path / "whole"))


def test_scores_are_joined_in_the_order_of_the_seeds():
    scores = joined([EvalResult([1.0, 2.0], [3, 4], 1), EvalResult([], []), EvalResult([5.0], [6], 1)])
    assert scores == EvalResult([1.0, 2.0, 5.0], [3, 4, 6], 2)
    assert joined([scores, None]) is None
    with pytest.raises(EnvironmentFailure):
        joined([None, EnvironmentFailure("it broke"), scores])
