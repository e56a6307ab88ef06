"""The settings of a run: types, documentation and ranges. Their values live in ``conf/``.

Plain dataclasses, no torch and no omegaconf, so that worker processes import this in milliseconds.
Keys that people sweep are flat; the rest is grouped.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from a2c.settings.code_names import CODE_NAME, SAYS_CODE_NAME
from a2c.settings.setting import setting
from a2c.settings.shared_rules import DEVICE, SCHEDULE


@dataclass(slots=True)
class AtariConfig:
    """Standard preprocessing of Atari games (Machado et al. 2018); used for ids under ``ALE/``."""

    frame_skip: int = setting("emulator frames per agent step", low=1)
    frame_stack: int = setting("frames stacked into one observation", low=1)
    screen_size: int = setting("pixels per side after resizing; nature_cnn needs 36", low=36)
    noop_max: int = setting("most random no-op actions after a reset", low=0)
    repeat_action_probability: float = setting("sticky actions", low=0, high=1)
    fire_reset: bool = setting("press FIRE after a reset where the game waits for it")
    life_loss: bool = setting("in training, a lost life ends the return (the game goes on)")


@dataclass(slots=True)
class EnvConfig:
    """The environment."""

    id: str = setting(
        "Gymnasium id; module:Id imports a module of your own first; module:Name is a class or function there",
        pattern=r"([\w.]+:)?([\w-]+/)?[\w.-]+|[\w.]+:[\w.<>]+",
        says="a Gymnasium id, like CartPole-v1 or ALE/Pong-v5, or my_module:MyEnv",
    )
    kwargs: dict[str, Any] = setting("keyword arguments for gymnasium.make")
    wrappers: list[Any] = setting(
        "wrappers around it, the innermost first: names, like gymnasium.wrappers.FlattenObservation or "
        "my_module:MyWrapper, or {name: {argument: value}}"
    )
    reset_options: dict[str, Any] = setting("options for every reset")
    max_episode_steps: int | None = setting("time limit; null keeps the environment's own", low=1)
    clip_reward: bool = setting("learn from the sign of the reward; scores stay raw")
    channels: str = setting(
        "where the colours of an image are; auto: where its shape suggests", choices=("auto", "first", "last")
    )
    symbols: list[int] | None = setting(
        "how many symbols each channel of a small image of bytes may hold, which become one-hot; null: brightness",
        low=1,
        auto=True,
    )
    masks: str = setting(
        "masks of legal actions; auto: those that it offers by action_masks(), in Dict observations or in infos",
        choices=("auto", "info", "off"),
    )
    step_timeout: float | None = setting(
        "seconds an environment may take for one step; null waits for ever", low=0, open_low=True
    )
    restarts: int = setting("how often in an hour environments that fail are made anew", low=0)
    isolate: bool = setting(
        "environments, also of evaluations, live in other processes, so that none can take the trainer with it"
    )
    atari: AtariConfig = setting("preprocessing of Atari games")


@dataclass(slots=True)
class NetworkConfig:
    """The network; the defaults follow from the observation space."""

    make: str | None = setting(
        "module:function that makes a whole network of your own from the spaces; null: ours",
        pattern=CODE_NAME,
        says=SAYS_CODE_NAME,
    )
    torso: str = setting(
        "auto: nature_cnn for images, small_cnn for those of less than 36 pixels a side, mlp for all else; "
        "or one of your own: module:Name",
        choices=("auto", "mlp", "nature_cnn", "small_cnn"),
        pattern=CODE_NAME,
        says=SAYS_CODE_NAME,
    )
    encoders: dict[str, Any] = setting(
        "an encoder of your own, module:Name, for a part of the observation: network.encoders.image=module:Name",
        pattern=CODE_NAME,
        says=SAYS_CODE_NAME,
    )
    hidden_sizes: list[int] = setting("width of each hidden layer of the mlp", low=1, auto=True)
    value_hidden_sizes: list[int] | None = setting("those of the value's own mlp; null: the same", low=1)
    layer_norm: str = setting(
        "layer normalisation in the mlp, before each activation; critic: in that of the value alone",
        choices=("none", "critic", "both"),
        auto=True,
    )
    init: str = setting(
        "initial weights of our layers: orthogonal, with a policy that starts near uniform; default: PyTorch's own",
        choices=("orthogonal", "default"),
    )
    activation: str = setting("nonlinearity of the mlp", choices=("tanh", "relu", "elu", "silu"), auto=True)
    shared_torso: bool | None = setting("one torso for policy and value; null: images share, vectors do not")
    memory: str | None = setting("a memory behind one torso, before both heads; null: none", choices=("lstm", "gru"))
    memory_size: int = setting("units of the memory", low=1)
    log_std_init: float = setting("initial log standard deviation of continuous actions", low=-20, high=2, auto=True)


@dataclass(slots=True)
class PolicyConfig:
    """How continuous actions are drawn."""

    distribution: str = setting(
        "gaussian: clipped at the bounds; squashed by tanh, or beta: within them; gsde: smooth exploration",
        choices=("gaussian", "squashed", "beta", "gsde"),
        auto=True,
    )
    state_dependent_std: bool = setting("gaussian and squashed: the spread follows from the observation")
    sde_steps: int = setting("gsde: steps after which the exploration is drawn anew", low=1)


@dataclass(slots=True)
class EvalConfig:
    """Evaluation on separate environments, with separate seeds and frozen normalisers."""

    every: int = setting("env steps between evaluations; 0 evaluates once, at the end", low=0)
    episodes: int = setting("episodes of an evaluation during training; 0: none, and no environment for one", low=0)
    final_episodes: int = setting("episodes of the evaluation at the end", low=1)
    max_steps: int = setting("most steps of an evaluation's episode where the environment has no time limit", low=1)
    apart: str = setting(
        "evaluate in a process of its own while training goes on; auto: where that saves time; changes no score",
        choices=("auto", "true", "false"),
    )


@dataclass(slots=True)
class CheckpointConfig:
    """What is kept of a run."""

    every: int = setting("env steps between checkpoints; 0 saves only at the end", low=0)
    keep: int = setting("how many stay, of the last ones and of the best ones each", low=1)


@dataclass(slots=True)
class WandbConfig:
    """Weights & Biases."""

    mode: str | None = setting(
        "null: WANDB_MODE if set, online inside a sweep agent, else offline",
        choices=("online", "offline", "shared", "disabled"),
    )
    project: str = setting("project", pattern=r"[^/\\#?,%:\s]+", says="a name without / \\ # ? , % : or spaces")
    entity: str | None = setting("team or user")
    group: str | None = setting("group of runs")
    tags: list[str] = setting("tags")
    artifacts: bool = setting("upload the best checkpoint and the video")


@dataclass(slots=True)
class Config:
    """Everything that a run depends on; what has ``auto=True`` may be the word auto until training begins."""

    env: EnvConfig = setting("environment: env=NAME picks a preset of conf/env, env.id=ANY any other")
    algo: str = setting(
        "a2c: environments in lockstep; ac: one of them, one step; a3c: workers without a lock, on the CPU",
        choices=("a2c", "ac", "a3c"),
    )
    total_steps: int = setting("env steps to train for, over all environments", low=1)
    stop_at: str | None = setting(
        "end training, in order, with the first evaluation of this mean score; threshold: the environment's own",
        pattern=r"threshold|[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?",
        says="threshold, or a score like 475",
    )
    num_envs: int = setting("N, environments in lockstep; with a3c, of each worker", low=1)
    n_step: int = setting("T, steps per rollout", low=1, auto=True)
    gamma: float = setting("discount", low=0, high=1)
    gae_lambda: float = setting("1 is the n-step return, less is GAE", low=0, high=1, auto=True)
    beta: float = setting("weight of the entropy bonus", low=0, auto=True)
    value_coef: float = setting("weight of the value loss; the article's 1/2", low=0, auto=True)
    value_loss: str = setting("mse; huber: beyond a residual of 1 it grows in a line", choices=("mse", "huber"))
    lr: float = setting("learning rate", low=0, open_low=True, auto=True)
    critic_lr: float | None = setting(
        "learning rate of the layers that only the value has; null: lr. Falls as that does", low=0, open_low=True
    )
    lr_schedule: str | list[list[float]] = setting("how lr changes over the run, to lr_end", **SCHEDULE, auto=True)
    lr_end: float = setting("lr at the end of linear and cosine", low=0)
    beta_schedule: str | list[list[float]] = setting("how beta changes over the run, to beta_end", **SCHEDULE)
    beta_end: float = setting("beta at the end of linear and cosine", low=0)
    value_coef_schedule: str | list[list[float]] = setting("how value_coef changes, to value_coef_end", **SCHEDULE)
    value_coef_end: float = setting("value_coef at the end of linear and cosine", low=0)
    gae_lambda_schedule: str | list[list[float]] = setting("how gae_lambda changes, to gae_lambda_end", **SCHEDULE)
    gae_lambda_end: float = setting("gae_lambda at the end of linear and cosine", low=0, high=1)
    max_grad_norm_schedule: str | list[list[float]] = setting(
        "how max_grad_norm changes, to max_grad_norm_end", **SCHEDULE
    )
    max_grad_norm_end: float = setting("max_grad_norm at the end of linear and cosine", low=0)
    optimizer: str = setting("optimizer", choices=("rmsprop_tf", "rmsprop", "adam"), auto=True)
    optimizer_eps: float = setting("epsilon of the optimizer", low=0, open_low=True)
    rmsprop_alpha: float = setting("decay of RMSprop's mean square", low=0, high=1, open_high=True)
    max_grad_norm: float | None = setting(
        "clip the global gradient norm to this; null never clips", low=0, open_low=True, auto=True
    )
    normalize_advantage: bool = setting("standardise advantages over the batch", auto=True)
    normalize_obs: bool = setting("standardise observations by running statistics", auto=True)
    normalize_reward: bool = setting("divide rewards by the standard deviation of the running return", auto=True)
    normalize_value: bool = setting("standardise the value's targets by running statistics (PopArt)")
    seed: int = setting("seed of everything; 0 is a seed", low=0, high=2**31 - 1)
    device: str = setting(**DEVICE)
    precision: str = setting("of the torso; weights, heads and losses stay float32", choices=("float32", "bf16"))
    tf32: bool = setting(
        "on CUDA, float32 products of matrices and convolutions run as TF32 (10 bits of fraction); false: in full"
    )
    compile: bool = setting("compile updates with torch.compile: slower on the CPU, not measured on CUDA")
    cuda_graphs: bool = setting("on CUDA, launch acting and updates as graphs; false: kernel by kernel")
    threads: int | None = setting("torch threads on the CPU; null: 1 for the mlp, all cores for the cnn", low=1)
    vectorization: str = setting(
        "how environments run side by side; auto times one and picks sync or workers",
        choices=("auto", "workers", "async", "sync", "native", "device"),
    )
    main_shard: bool | None = setting(
        "with workers, this process steps environments too; null: if a core is left for it; "
        "never with env.step_timeout or env_groups > 1"
    )
    env_groups: int = setting(
        "groups of environments: one steps while the policy serves another; changes no result", low=1
    )
    num_workers: int | None = setting(
        "worker processes, which step environments or, with a3c, learn; null: what auto finds best, or one per core",
        low=1,
    )
    ranks: int = setting(
        "processes that train together, each with its share of the environments; under torchrun, as many as it starts",
        low=1,
    )
    rank_timeout: float = setting("seconds that a rank may keep the others waiting", low=0, open_low=True)
    deterministic_ranks: bool = setting("sum in a fixed order: 1, 2, 4 and 8 ranks give the same bytes; slower")
    shared_statistics: bool = setting("a3c: all workers share the optimizer's statistics; false: each has its own")
    policy: PolicyConfig = setting("policy")
    network: NetworkConfig = setting("network")
    eval: EvalConfig = setting("evaluation")
    checkpoint: CheckpointConfig = setting("checkpoints")
    wandb: WandbConfig = setting("Weights & Biases")
    log_every: int = setting("env steps between metric rows", low=1)
    log_info: list[str] = setting(
        "keys of the infos with which episodes end, to log the means of, like [success]",
        pattern=r"\S+",
        says="a list of keys, like [success,distance]",
    )
    name: str | None = setting(
        "name of the run; null: made from the algorithm and the seed",
        pattern=r"(?!.*\.\.)[A-Za-z0-9._-]{1,100}",
        says="made of A-Z a-z 0-9 . _ - only, without '..'",
    )
    runs_dir: str = setting("folder of all runs", pattern=r"[^\0\n]+", says="a path")
    resume: str | None = setting(
        "latest, a run folder or a checkpoint to continue from; "
        "auto: the newest unfinished run of these settings, else a new one"
    )
    gif: bool = setting("record agent.gif at the end")
    profile: bool = setting("trace a few updates with torch's profiler, into trace.json.gz of the run folder")
