"""Every public name with its signature, by hand: who changes one sees here what it is to others."""

from __future__ import annotations

import inspect
import re
from pathlib import Path
from typing import Any

import pytest

import a2c
from a2c.envs.single import own
from a2c.network import making
from a2c.run import callback
from a2c.run.state import TrainState
from builders import VECTOR, config, make_model

SIGNATURES = """
train(cfg: Config, *, env: EnvMaker | VectorEnv[Any, Any, Any] | None = None, eval_env: EnvMaker | None = None,
    network: OwnNetwork | None = None, on_report: OnReport | None = None) -> Summary

load_config(*overrides: str, env: EnvMaker | None = None, trust: bool = True) -> Config

load_policy(target: str | Path = 'latest', *, runs_dir: str | Path = 'runs', device: str = 'cpu',
    secrets: Mapping[str, Any] | None = None, tell: Callable[[str], object] | None = None,
    network: OwnNetwork | None = None, trust: bool = False) -> Policy

evaluate(policy: Policy, episodes: int = 20, *, env: EnvMaker | None = None, seed: int | None = None,
    deterministic: bool = True, ended: Callable[[int], object] | None = None) -> EvalResult

n_step_returns(rewards: Tensor, next_values: Tensor, done: Tensor, gamma: float) -> Tensor

lambda_returns(rewards: Tensor, next_values: Tensor, done: Tensor, gamma: float, gae_lambda: Tensor | float = 1.0)
    -> Tensor

actor_critic_loss(log_probs: Tensor, entropies: Tensor, values: Tensor, returns: Tensor, advantages: Tensor, *,
    value_coef: float = 0.5, beta: float = 0.01, weight: Tensor | None = None, huber: bool = False,
    scale: Tensor | None = None) -> Losses

ShardedAsyncVectorEnv(env_fns: Sequence[Callable[[], Env[Any, Any]]], shared_memory: bool = True, copy: bool = True,
    context: str | None = None, daemon: bool = True, worker: Callable[..., None] | None = None,
    observation_mode: str | tuple[Space[Any], Space[Any]] = 'same',
    autoreset_mode: str | AutoresetMode = <AutoresetMode.NEXT_STEP: 'NextStep'>, max_concurrency: int | None = None,
    num_workers: int | None = None, main_shard: bool = False, log_failures: bool = True, isolate: bool = False) -> None

Policy(model: Network, cfg: Config, path: Path | None = None, env_steps: int = 0) -> None
Policy.act(self, obs: Any, deterministic: bool = True, rows: Sequence[int] | None = None, mask: Any = None) -> Any
Policy.choose(self, obs: Any, deterministic: bool = True, rows: Sequence[int] | None = None) -> np.ndarray
Policy.value(self, obs: Any, rows: Sequence[int] | None = None) -> np.ndarray
Policy.reset(self, rows: Sequence[int] | None = None) -> None

Progress(state: TrainState, cfg: Config, folder: Path, metrics: Mapping[str, float],
    episodes: Callable[[], Sequence[Episode]], network: Network, call: Callable[[Call], list[Any]]) -> None
Progress.episodes -> Sequence[Episode]
Progress.policy -> Policy
Progress.stop(self, why: str) -> None
Progress.save(self, name: str) -> None
Progress.call(self, name: str, *args: Any, **kwargs: Any) -> list[Any]
Progress.end(self) -> None

EvalResult(rewards: list[float], lengths: list[int], cut: int = 0) -> None
EvalResult.mean -> float
EvalResult.std -> float
EvalResult.cuts(self, max_steps: int) -> str

Summary(env_id: str, algo: str, seed: int, device: str, num_envs: int, n_step: int, env_steps: int, updates: int,
    episodes: int, wall_time: float, fps: float, eval_mean: float | None, eval_std: float | None, eval_episodes: int,
    eval_cut: int | None, best_eval: float | None, best_step: int | None, reward_threshold: float | None,
    solved: bool | None, folder: str, best_checkpoint: str | None, last_checkpoint: str, curve: str | None,
    gif: str | None, stopped: str | None, wandb_id: str | None, time: dict[str, float], advice: list[str],
    trace: str | None, ended: str | None = None) -> None
Summary.read(folder: Path) -> Summary | None
Summary.write(self) -> None
Summary.with_scores(self, scores: EvalResult, scored: Policy) -> Summary

Spaces(obs_shape: tuple[int, ...], obs_dtype: str, actions: int, discrete: bool, start: int = 0,
    low: tuple[float, ...] = (), high: tuple[float, ...] = (), action_dtype: str | None = None,
    parts: tuple[Part, ...] = (), obs_original: dict[str, Any] | None = None,
    action_original: dict[str, Any] | None = None, obs_parts: tuple[ObsPart, ...] = (), obs_channels: str = 'auto',
    obs_symbols: tuple[int, ...] = (), mask: int = 0) -> None
Spaces.obs -> ObsLeaf
Spaces.image -> bool
Spaces.images_within -> bool
Spaces.whole -> bool
Spaces.choices -> tuple[int, ...]
Spaces.door -> ActionDoor
Spaces.facts(self) -> dict[str, str]
Spaces.to_dict(self) -> dict[str, Any]
Spaces.from_dict(data: dict[str, Any]) -> Spaces
Spaces.check_same(self, saved: Spaces, path: str) -> None

Config(env: EnvConfig, algo: str, total_steps: int, stop_at: str | None, num_envs: int, n_step: int, gamma: float,
    gae_lambda: float, beta: float, value_coef: float, value_loss: str, lr: float, critic_lr: float | None,
    lr_schedule: str | list[list[float]], lr_end: float, beta_schedule: str | list[list[float]], beta_end: float,
    value_coef_schedule: str | list[list[float]], value_coef_end: float,
    gae_lambda_schedule: str | list[list[float]], gae_lambda_end: float,
    max_grad_norm_schedule: str | list[list[float]], max_grad_norm_end: float, optimizer: str, optimizer_eps: float,
    rmsprop_alpha: float, max_grad_norm: float | None, normalize_advantage: bool, normalize_obs: bool,
    normalize_reward: bool, normalize_value: bool, seed: int, device: str, precision: str, tf32: bool, compile: bool,
    cuda_graphs: bool, threads: int | None, vectorization: str, main_shard: bool | None, env_groups: int,
    num_workers: int | None, ranks: int, rank_timeout: float, deterministic_ranks: bool,
    shared_statistics: bool, policy: PolicyConfig,
    network: NetworkConfig, eval: EvalConfig,
    checkpoint: CheckpointConfig, wandb: WandbConfig, log_every: int, log_info: list[str], name: str | None,
    runs_dir: str, resume: str | None, gif: bool, profile: bool) -> None
"""
ERRORS = {  # what it derives from, the exit code of the command line, and the words before its message
    "A2CError": ("Exception", 1, "error"),
    "ConfigError": ("A2CError", 2, "config error"),
    "EnvironmentFailure": ("A2CError", 3, "environment error"),
    "CallbackFailure": ("A2CError", 3, "callback error"),
    "NumericError": ("A2CError", 4, "numeric error"),
    "CheckpointError": ("A2CError", 5, "checkpoint error"),
    "StoppedError": ("A2CError", 1, "stopped"),  # each one has that of its signal
    "RunIOError": ("A2CError", 6, "i/o error"),
}
WITH_MEMBERS = ("Policy", "Progress", "EvalResult", "Summary", "Spaces")
TABLE = {
    re.split(r"[( ]", text, maxsplit=1)[0]: " ".join(text.split()) for text in re.split(r"\n+(?! )", SIGNATURES.strip())
}


class Bare(str):
    """An annotation as it was written, without quotes."""

    __repr__ = str.__str__


def told(name: str) -> str:
    """A public name, or a member of a public class, with its signature."""
    holder, _, member = name.partition(".")
    thing: Any = inspect.getattr_static(getattr(a2c, holder), member) if member else getattr(a2c, holder)
    if isinstance(thing, property):
        return f"{name} -> {inspect.signature(thing.fget).return_annotation}"  # type: ignore[arg-type]
    if isinstance(thing, classmethod):
        thing = getattr(getattr(a2c, holder), member)
    signature = inspect.signature(thing)
    result = "None" if signature.return_annotation is None else signature.return_annotation
    parameters = [each.replace(annotation=Bare(each.annotation)) for each in signature.parameters.values()]
    if parameters[0].name == "self":
        parameters[0] = parameters[0].replace(annotation=inspect.Parameter.empty)
    return f"{name}{signature.replace(parameters=parameters, return_annotation=Bare(result))}"


@pytest.mark.parametrize("name", TABLE)
def test_its_signature_is_this(name: str) -> None:
    assert told(name) == TABLE[name]


def test_no_other_name_is_public_and_no_other_member() -> None:
    assert {name for name in TABLE if "." not in name} | set(ERRORS) == set(a2c.__all__)
    for name in WITH_MEMBERS:
        fields = set(getattr(getattr(a2c, name), "__dataclass_fields__", ()))
        members = {
            f"{name}.{each}" for each in vars(getattr(a2c, name)) if not each.startswith("_") and each not in fields
        }
        assert members == {each for each in TABLE if each.startswith(f"{name}.")}


def test_an_attribute_is_one_of_these() -> None:
    cfg = config()
    network = make_model(VECTOR, cfg)
    progress = a2c.Progress(TrainState(), cfg, Path(), {}, list, network, lambda call: [])
    public = [
        {name for name in vars(each) if not name.startswith("_")} for each in (a2c.Policy(network, cfg), progress)
    ]
    assert public == [
        {"model", "cfg", "path", "env_steps"},
        {"env_steps", "update", "total_steps", "metrics", "cfg", "folder", "stopped", "saves"},
    ]


def test_what_is_handed_over_is_of_these_types() -> None:
    assert str(own.EnvMaker) == "collections.abc.Callable[..., gymnasium.core.Env[typing.Any, typing.Any]]"
    assert str(making.OwnNetwork).replace("~", "") == (
        "collections.abc.Callable[[a2c.envs.spaces.Spaces], torch.nn.modules.module.Module]"
    )
    assert "a2c.run.progress.Progress" in str(callback.OnReport)
    assert "collections.abc.Mapping[str, typing.Any] | None" in str(callback.OnReport)


@pytest.mark.parametrize("name", ERRORS)
def test_an_error_says_its_kind_and_has_its_exit_code(name: str) -> None:
    kind = getattr(a2c, name)
    assert (kind.__base__.__name__, kind.exit_code, kind.label) == ERRORS[name]
