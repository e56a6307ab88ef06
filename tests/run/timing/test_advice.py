"""The advice at the end of a run is right, or there is none."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from a2c.run.timing.advice import Setup, advise
from a2c.settings.compose import load_config

MLP, FRAME = 6.0 * 9155, 5.5e7  # arithmetic of a transition: CartPole's two layers of 64; nature_cnn
CPU = Setup(
    device="cpu", cuda=False, cores=16, threads=1, vectorization="workers", processes=16, main_shard=False,
    native=False, images=False, flops=MLP, env_rate=144_000.0,
)  # fmt: skip
GPU = replace(CPU, device="cuda:0", cuda=True)
ATARI = {"images": True, "flops": FRAME}


def shares(**parts: float) -> dict[str, float]:
    found = dict.fromkeys(("env", "transfer", "act", "update", "eval", "other"), 0.0) | parts
    assert sum(found.values()) == pytest.approx(1.0)
    return found


ENVS = shares(env=0.7, act=0.1, update=0.2)
UPDATES = shares(env=0.19, act=0.1, update=0.71)
ACTING = shares(env=0.2, act=0.6, update=0.2)

CASES: dict[str, tuple[dict[str, float], list[str], Setup, list[str]]] = {
    "all cores step": (
        ENVS, ["env=lunarlander"], CPU,
        ["environment-bound (70% of training): LunarLander-v3 steps at 9k/s on a core, and all 16 are in use; "
         "more would help"],
    ),
    "one core": (
        ENVS, ["env=lunarlander"], replace(CPU, cores=1, processes=1, vectorization="sync", env_rate=850.0),
        ["environment-bound (70% of training): LunarLander-v3 steps at 850/s on a core; more cores would help"],
    ),
    "too few workers, as the user wanted": (
        ENVS, ["num_envs=64", "num_workers=2"], replace(CPU, processes=2),
        ["environment-bound (70% of training): 2 processes on 16 cores: num_workers=16"],
    ),
    "one worker for few environments": (
        ENVS, ["num_envs=4", "num_workers=1"], replace(CPU, processes=1),
        ["environment-bound (70% of training): 1 process on 16 cores: num_workers=4"],
    ),
    "fewer environments than cores": (
        ENVS, ["num_envs=4"], replace(CPU, processes=4),
        ["environment-bound (70% of training): raise num_envs: 4 keep 4 of 16 cores busy"],
    ),
    "workers alone, as the user wanted": (
        ENVS, ["vectorization=workers", "main_shard=false"], CPU,
        ["environment-bound (70% of training): vectorization=auto may do better than workers on 16 cores"],
    ),
    "workers alone, and auto would take them too": (
        ENVS, ["vectorization=workers", "env.step_timeout=5"], replace(CPU, env_rate=850.0 * 16),
        ["environment-bound (70% of training): CartPole-v1 steps at 850/s on a core, and all 16 are in use; "
         "more would help"],
    ),
    "this process and too few workers": (
        ENVS, ["num_envs=64", "vectorization=workers", "num_workers=1"],
        replace(CPU, vectorization="workers", main_shard=True, processes=2),
        ["environment-bound (70% of training): 2 processes on 16 cores: num_workers=15"],
    ),
    "auto found workers not worth it": (
        ENVS, ["num_envs=16"], replace(CPU, processes=1, vectorization="sync"),
        ["environment-bound (70% of training): raise num_envs: 16 keep 1 of 16 cores busy"],
    ),
    "the user wanted sync": (
        ENVS, ["vectorization=sync"], replace(CPU, processes=1, vectorization="sync"),
        ["environment-bound (70% of training): vectorization=auto may do better than sync on 16 cores"],
    ),
    "a native vector environment is there": (
        ENVS, ["env=cartpole"], replace(CPU, native=True),
        ["environment-bound (70% of training): vectorization=native steps CartPole-v1 as a batch, "
         "with random numbers of its own"],
    ),
    "too few workers beside a native one": (
        ENVS, ["env=cartpole", "num_workers=1"], replace(CPU, native=True, processes=1, cores=2),
        ["environment-bound (70% of training): 1 process on 2 cores: num_workers=2"],
    ),
    "native, few": (
        ENVS, ["vectorization=native", "num_envs=16"], replace(CPU, vectorization="native", processes=1),
        ["environment-bound (70% of training): raise num_envs (16): larger batches cost less a step"],
    ),
    "native, many: nothing to advise": (
        ENVS, ["vectorization=native", "num_envs=4096"], replace(CPU, vectorization="native", processes=1), [],
    ),
    "native Atari on all cores": (
        ENVS, ["vectorization=native"], replace(CPU, vectorization="native", processes=1, **ATARI),
        ["environment-bound (70% of training): more cores would help"],
    ),
    "native Atari on some": (
        ENVS, ["vectorization=native", "num_workers=2"], replace(CPU, vectorization="native", processes=1, **ATARI),
        ["environment-bound (70% of training): 2 threads on 16 cores: num_workers=16"],
    ),
    "small updates": (  # 16 x 5 x 55e3 = 4e6 operations: overhead
        UPDATES, ["num_envs=16", "n_step=5"], CPU,
        ["update-bound (71% of training): raise num_envs (16): larger batches cost less a step"],
    ),
    "large updates on one thread of many cores": (  # 1024 x 5 x 55e3 = 3e8
        UPDATES, ["num_envs=1024", "n_step=5"], CPU,
        ["update-bound (71% of training): 1 of 16 cores compute: try threads=16"],
    ),
    "large updates beside a GPU": (
        UPDATES, ["num_envs=1024", "n_step=5"], replace(CPU, cuda=True),
        ["update-bound (71% of training): try device=cuda"],
    ),
    "Pong on two cores, both in use": (
        UPDATES, ["num_envs=16", "n_step=5"], replace(CPU, cores=2, threads=2, **ATARI),
        ["update-bound (71% of training): a GPU or more cores than 2 would help"],
    ),
    "CartPole on a GPU": (
        ACTING, ["num_envs=16"], GPU,
        ["acting-bound (60% of training): too little work for a GPU: raise num_envs (16), or try device=cpu"],
    ),
    "4096 CartPoles on a GPU": (  # 4096 x 55e3 / 3 = 8e7: more than a CPU does for nothing, nothing for a GPU
        ACTING, ["num_envs=4096"], GPU,
        ["acting-bound (60% of training): raise num_envs (4096): larger batches cost less a step"],
    ),
    "no graphs": (
        ACTING, ["num_envs=16", "cuda_graphs=false"], GPU,
        ["acting-bound (60% of training): cuda_graphs=true launches kernels together"],
    ),
    "Pong on a GPU, 128 x 5 frames: nothing to advise": (  # 3.5e10 operations an update
        UPDATES, ["num_envs=128", "n_step=5"], replace(GPU, **ATARI), [],
    ),
    "acting on the CPU": (
        ACTING, ["num_envs=16"], CPU,
        ["acting-bound (60% of training): raise num_envs (16): larger batches cost less a step"],
    ),
    "neither of the two is most of it": (
        shares(env=0.3, act=0.3, update=0.4), ["num_envs=16"], CPU,
        ["acting and updates take 70% of training: raise num_envs (16): larger batches cost less a step"],
    ),
    "frames on the bus": (
        shares(env=0.2, transfer=0.5, act=0.1, update=0.2), [], replace(GPU, **ATARI),
        ["transfer-bound (50% of training): smaller or fewer frames in an observation would help"],
    ),
    "evaluation beside a bottleneck": (  # the loop is 0.6 of the time: 0.42 / 0.6 = 70 %
        shares(env=0.06, act=0.12, update=0.42, eval=0.4), ["eval.every=20_000", "total_steps=500_000"], CPU,
        ["evaluation takes 40% of the run: raise eval.every (20,000) or lower eval.episodes (20)",
         "update-bound (70% of training): raise num_envs (16): larger batches cost less a step"],
    ),
    "evaluation in place, as the user wanted": (
        shares(env=0.06, act=0.12, update=0.42, eval=0.4), ["eval.apart=false"], CPU,
        ["evaluation takes 40% of the run: eval.apart=auto evaluates in a process of its own",
         "update-bound (70% of training): raise num_envs (16): larger batches cost less a step"],
    ),
    "evaluation in place on one core": (
        shares(env=0.06, act=0.12, update=0.42, eval=0.4), ["eval.apart=false", "eval.every=0"],
        replace(CPU, cores=1, processes=1, vectorization="sync"),
        ["evaluation takes 40% of the run: lower eval.episodes (20)",
         "update-bound (70% of training): raise num_envs (16): larger batches cost less a step"],
    ),
    "one evaluation only": (
        shares(env=0.4, act=0.1, update=0.1, eval=0.4), ["eval.every=0", "vectorization=native", "num_envs=4096"],
        replace(CPU, vectorization="native"),
        ["evaluation takes 40% of the run: lower eval.episodes (20)"],
    ),
    "many reports": (
        shares(env=0.4, act=0.1, update=0.1, other=0.4), ["log_every=10", "vectorization=native", "num_envs=4096"],
        replace(CPU, vectorization="native"),
        ["reports and checkpoints take 40% of the run: raise log_every (10) or checkpoint.every (50,000)"],
    ),
    "nothing was timed": (dict.fromkeys(shares(other=1.0), 0.0), [], CPU, []),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_advice_fits_the_case(case: str) -> None:
    split, overrides, setup, expected = CASES[case]
    preset = [] if any(text.startswith("env=") for text in overrides) else ["env.id=CartPole-v1"]
    defaults: list[Any] = ["num_envs=16", "n_step=5"]
    cfg = load_config(*preset, *[d for d in defaults if d.split("=")[0] not in str(overrides)], *overrides)
    assert advise(split, cfg, setup) == expected
