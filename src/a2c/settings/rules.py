"""Rules that involve more than one setting."""

from __future__ import annotations

from dataclasses import asdict

from a2c.errors import ConfigError
from a2c.settings.code_names import by_part
from a2c.settings.config import Config
from a2c.settings.leaf_count import leaves_of
from a2c.settings.named_wrappers import named_wrappers
from a2c.settings.redaction import asks_for, hidden_keys
from a2c.settings.setting import AUTO, check_ranges


def validate(cfg: Config) -> Config:
    """Check every range and the rules between settings, and return ``cfg``; raises :class:`ConfigError`."""
    cfg.network.encoders = dict(by_part(cfg.network.encoders))  # network.encoders.goal.0 is of the part goal.0
    check_ranges(cfg)
    named_wrappers(cfg.env.wrappers)
    if cfg.vectorization in ("native", "device"):
        _check_single_alone(cfg)
    if lost := hidden_keys(asdict(cfg)):
        raise ConfigError(asks_for(lost))
    if cfg.env_groups > cfg.num_envs:
        raise ConfigError(f"env_groups={cfg.env_groups} must be at most num_envs={cfg.num_envs}")
    if cfg.env_groups > 1 and cfg.vectorization == "device":
        raise ConfigError("env_groups > 1 has no effect where environments live on the device; leave it 1")
    if cfg.network.memory is not None and cfg.network.shared_torso is False:
        raise ConfigError(
            f"network.shared_torso=false does not go with network.memory={cfg.network.memory}: "
            "one memory serves policy and value, behind one torso"
        )
    _check_network(cfg)
    if cfg.env.isolate:
        _check_isolated(cfg)
    if cfg.ranks > 1:
        _check_ranks(cfg)
    if cfg.deterministic_ranks:
        _check_leaves(cfg)
    if cfg.algo == "ac" and cfg.num_envs != 1:
        raise ConfigError(f"num_envs={cfg.num_envs} does not go with algo=ac: with several environments it is algo=a2c")
    if cfg.algo == "a3c":
        _check_a3c(cfg)
    _check_schedules(cfg)
    if cfg.stop_at is not None and (cfg.eval.episodes == 0 or cfg.eval.every == 0):
        off = "eval.episodes=0" if cfg.eval.episodes == 0 else "eval.every=0"
        raise ConfigError(f"stop_at={cfg.stop_at} needs evaluations during training, and {off} makes none")
    if cfg.normalize_advantage is True and (cfg.num_envs, cfg.n_step) == (1, 1):
        raise ConfigError("normalize_advantage=true needs num_envs x n_step > 1: one number has no spread")
    return cfg


def _check_single_alone(cfg: Config) -> None:
    """Refuse what only a single environment takes, where its vector environment steps all at once."""
    for key, value in (("env.wrappers", cfg.env.wrappers), ("env.reset_options", cfg.env.reset_options)):
        if value:
            raise ConfigError(
                f"{key} does not go with vectorization={cfg.vectorization}: it is for single environments, which "
                "vectorization=auto steps"
            )


def _check_schedules(cfg: Config) -> None:
    """Refuse what has no effect, and what leads out of a coefficient's range."""
    for name in ("lr", "beta", "value_coef", "gae_lambda", "max_grad_norm"):
        value, kind, end = (getattr(cfg, f"{name}{part}") for part in ("", "_schedule", "_end"))
        if kind == AUTO:  # it is looked at again when it has a value
            continue
        if end and kind not in ("linear", "cosine"):
            raise ConfigError(f"{name}_end={end} needs {name}_schedule=linear or cosine")
        if kind != "constant" and value is None:
            raise ConfigError(f"{name}_schedule={kind} needs a {name} to begin with; it is null")
        points = kind if isinstance(kind, list) and value != AUTO else []
        if name == "gae_lambda" and any(factor * value > 1 for _, factor in points):
            raise ConfigError(f"gae_lambda_schedule={kind}: a factor times gae_lambda={value} is above 1")


def _check_ranks(cfg: Config) -> None:
    """Refuse what several processes cannot do together."""
    cannot = {
        "algo": (
            cfg.algo != "a2c",
            "it is one environment"
            if cfg.algo == "ac"
            else f"it has processes of its own; use num_workers={cfg.ranks}",
        ),
        "device": (
            cfg.device == "mps" or cfg.device.startswith("cuda:"),
            "each rank takes the GPU of its number: device=cuda, or cpu",
        ),
        "vectorization": (cfg.vectorization in ("device", "native"), "ranks share out single environments"),
        "compile": (cfg.compile, "the ranks sum their gradients within an update"),
        "profile": (cfg.profile, "it traces one process"),
    }
    _refuse(cfg, cannot, f"ranks={cfg.ranks}")
    if cfg.ranks > cfg.num_envs:
        raise ConfigError(f"ranks={cfg.ranks} must be at most num_envs={cfg.num_envs}: each has an environment")


def _check_leaves(cfg: Config) -> None:
    """Refuse what cannot be computed leaf by leaf."""
    cannot = {
        "algo": (cfg.algo == "a3c", "workers add to shared weights in any order"),
        "vectorization": (cfg.vectorization == "device", "it computes all environments at once"),
        "compile": (cfg.compile, "leaves are computed one after the other"),
    }
    _refuse(cfg, cannot, "deterministic_ranks=true")
    if leaves_of(cfg.num_envs) % cfg.ranks:
        raise ConfigError(
            f"ranks={cfg.ranks} does not go with deterministic_ranks=true: "
            f"num_envs={cfg.num_envs} are {leaves_of(cfg.num_envs)} leaves, which ranks must share out evenly"
        )


def _check_isolated(cfg: Config) -> None:
    """Refuse what steps an environment in the trainer's own process, or learns of its spaces there."""
    if cfg.vectorization not in ("auto", "workers"):
        raise ConfigError(f"vectorization={cfg.vectorization} does not go with env.isolate=true: auto or workers does")
    if cfg.main_shard:
        raise ConfigError("main_shard=true does not go with env.isolate=true: this process then steps no environment")
    if cfg.eval.apart == "false":
        raise ConfigError("eval.apart=false does not go with env.isolate=true: evaluations need a process too")


def _check_network(cfg: Config) -> None:
    """Refuse what a network of the user's own, or a torso, would have to do without."""
    network = cfg.network
    if network.encoders and network.torso not in ("auto", "nature_cnn", "small_cnn"):
        raise ConfigError(f"network.encoders does not go with network.torso={network.torso}, which reads all parts")
    if network.make is None:
        return
    cannot = {
        "network.torso": (network.torso, network.torso != "auto"),
        "network.encoders": (network.encoders, bool(network.encoders)),
        "network.memory": (network.memory, network.memory is not None),
        "policy.distribution": (cfg.policy.distribution, cfg.policy.distribution == "gsde"),
        "precision": (cfg.precision, cfg.precision != "float32"),
        "normalize_value": ("true", cfg.normalize_value),
        "critic_lr": (cfg.critic_lr, cfg.critic_lr is not None),
    }
    for key, (value, given) in cannot.items():
        if given:
            raise ConfigError(
                f"{key}={value} does not go with network.make={network.make}: it is about the layers of our own network"
            )


def _check_a3c(cfg: Config) -> None:
    """Refuse what workers that learn on their own cannot do."""
    cannot = {
        "device": (cfg.device not in ("auto", "cpu"), "its workers learn on the CPU; algo=a2c uses a GPU"),
        "vectorization": (
            cfg.vectorization not in ("auto", "sync", "native"),
            "a worker steps its environments itself: auto, sync or native",
        ),
        "env_groups": (cfg.env_groups > 1, "a worker steps its environments itself"),
        "compile": (cfg.compile, "the shared weights change under a compiled update"),
        "profile": (cfg.profile, "it traces one process; profile algo=a2c"),
        "normalize_value": (cfg.normalize_value, "each worker would rescale the shared weights by its own statistics"),
    }
    _refuse(cfg, cannot, "algo=a3c")


def _refuse(cfg: Config, cannot: dict[str, tuple[bool, str]], beside: str) -> None:
    """Refuse the first setting that is wrong beside another, and say why.

    Args:
        cfg: the settings.
        cannot: by key, whether its value is wrong, and why.
        beside: ``key=value`` of the other.
    """
    for key, (wrong, why) in cannot.items():
        if wrong:
            value = getattr(cfg, key)
            shown = str(value).lower() if isinstance(value, bool) else value
            raise ConfigError(f"{key}={shown} does not go with {beside}: {why}")
