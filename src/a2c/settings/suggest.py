"""Did you mean: the nearest known name, and what other libraries call our settings."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

_ELSEWHERE = {
    "n_step": "n_steps num_steps nstep nsteps rollout_length unroll_length t_max update_interval local_steps",
    "beta": "ent_coef entropy_coef entropy_coeff entropy_weight entropy_beta entropy_cost ent_weight",
    "num_envs": "n_envs nenvs num_env num_processes num_actors n_environments env_num training_num",
    "lr": "learning_rate step_size alpha_lr",
    "total_steps": "total_timesteps n_timesteps num_timesteps total_env_steps max_steps num_env_steps total_frames",
    "value_coef": "vf_coef value_loss_coef vf_loss_coeff value_loss_weight critic_coef baseline_cost",
    "gae_lambda": "lam lambda lambda_ td_lambda",
    "gamma": "discount discount_factor discounting",
    "optimizer_eps": "rms_prop_eps rmsprop_eps adam_eps eps",
    "rmsprop_alpha": "alpha rmsprop_decay",
    "max_grad_norm": "clip_grad_norm grad_clip gradient_clip grad_norm_clip clip_grad",
    "normalize_advantage": "norm_adv normalize_advantages advantage_normalization",
    "normalize_obs": "norm_obs normalize_observations normalize",
    "normalize_reward": "norm_reward normalize_rewards reward_normalization",
    "env.id": "env_id env_name gym_id environment task",
    "env.kwargs": "env_kwargs",
    "env.wrappers": "wrappers wrapper_class env_wrapper env_wrappers",
    "network.hidden_sizes": "net_arch policy_kwargs hidden_size hidden_layers",
    "network.activation": "activation_fn",
    "network.torso": "features_extractor features_extractor_class custom_network",
    "network.init": "ortho_init orthogonal_init",
    "value_loss": "vf_loss critic_loss value_loss_fn",
    "critic_lr": "vf_lr value_lr lr_critic critic_learning_rate",
    "normalize_value": "norm_value normalize_values normalize_returns popart use_popart value_norm",
    "network.memory": "recurrent lstm use_lstm use_rnn rnn",
    "network.memory_size": "lstm_hidden_size lstm_size rnn_hidden_size rnn_size recurrent_hidden_size",
    "network.log_std_init": "log_std",
    "device": "cuda gpu use_cuda accelerator",
    "threads": "num_threads torch_threads",
    "num_workers": "n_workers workers",
    "log_every": "log_interval log_freq",
    "eval.every": "eval_freq eval_interval",
    "eval.episodes": "n_eval_episodes eval_episodes num_eval_episodes",
    "checkpoint.every": "save_freq save_interval checkpoint_interval checkpoint_freq",
    "wandb.project": "wandb_project wandb_project_name project project_name",
    "wandb.entity": "wandb_entity entity",
    "wandb.group": "wandb_group group",
    "wandb.mode": "wandb_mode",
    "wandb.tags": "wandb_tags tags",
    "name": "run_name exp_name experiment_name",
    "runs_dir": "log_dir logdir output_dir save_dir",
    "lr_schedule": "learning_rate_schedule anneal_lr lr_decay",
    "vectorization": "vec_env vec_env_type vec_env_cls backend",
}
ALIASES = {alias: ours for ours, aliases in _ELSEWHERE.items() for alias in aliases.split()}

_NO_COUNTERPART = {
    "batch_size": "a batch is num_envs x n_step",
    "minibatch_size": "a batch is num_envs x n_step",
    "num_minibatches": "A2C makes one update per rollout",
    "n_epochs": "A2C makes one update per rollout",
    "update_epochs": "A2C makes one update per rollout",
    "clip_range": "A2C does not clip its policy ratio; that is PPO",
    "clip_coef": "A2C does not clip its policy ratio; that is PPO",
    "use_rms_prop": "write optimizer=rmsprop_tf, rmsprop or adam",
    "frame_skip": "it is env.atari.frame_skip",
    "frame_stack": "it is env.atari.frame_stack",
}


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The known name that looks most like ``name``; a bare name also matches the end of a dotted one."""
    known = list(known)
    by_end = {key.rpartition(".")[2]: key for key in reversed(known)}
    candidates = {key.lower(): key for key in known} if "." in name else {**by_end, **{key: key for key in known}}
    close = difflib.get_close_matches(name.lower(), candidates, n=1, cutoff=0.6)
    return candidates[close[0]] if close else None


def unknown_key(key: str, known: Iterable[str]) -> str:
    """One line that says that ``key`` is unknown, and which key was probably meant."""
    known = list(known)
    leaf = key.rpartition(".")[2]
    said = f"unknown key '{key}'"
    for name in (key, leaf):
        if name in ALIASES and ALIASES[name] in known:
            return f"{said}; here it is called '{ALIASES[name]}'"
        if name in _NO_COUNTERPART and "num_envs" in known:
            return f"{said}; {_NO_COUNTERPART[name]}"
    guess = nearest(key, known) or nearest(leaf, known)
    return f"{said}; did you mean '{guess}'?" if guess else f"{said}; a2c train --help lists them all"
