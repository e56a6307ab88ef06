"""Does the checkpoint to continue fit the settings? Asked before the run folder changes."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from a2c.envs.converting.masks import AUTO, OFF
from a2c.envs.single.make_env import make_env
from a2c.envs.single.registry import find_spec
from a2c.envs.spaces import Spaces, spaces_of
from a2c.errors import CheckpointError
from a2c.learning.learner import Learner
from a2c.network.making import OwnNetwork, make_network
from a2c.network.torso_choice import torso_kind
from a2c.settings.auto_values import decide_as
from a2c.settings.code_names import by_part
from a2c.settings.config import Config
from a2c.settings.notices import tell, tell_once
from a2c.settings.old_values import translated
from a2c.settings.redaction import redact
from a2c.settings.resumed_settings import OF_THE_SESSION, flatten
from a2c.settings.typed_settings import show
from a2c.storage.atomic import replacing
from a2c.storage.folders import CHECKPOINTS, run_of
from a2c.storage.kept_checkpoints import kept, load_newest, open_checkpoint

# What the saved weights, optimizer, normalisers and workers were made for.
_MATTERS = ("algo", "env.id", "env.kwargs", "env.wrappers", "env.reset_options", "env.atari.frame_stack",
            "env.atari.screen_size", "env.channels", "env.symbols", "env.masks", "network.torso",
            "network.hidden_sizes", "network.activation", "network.shared_torso", "network.memory",
            "network.memory_size", "network.make", "network.encoders", "network.value_hidden_sizes",
            "network.layer_norm", "policy.distribution", "policy.state_dependent_std", "normalize_obs",
            "normalize_reward", "normalize_value", "optimizer", "num_workers")  # fmt: skip
# Changed at every other resume, and without effect on what is learned.
_QUIET = ("total_steps", "stop_at", "log_every", "log_info", "name", "gif", "profile", "eval.", "checkpoint.",
          "wandb.", "vectorization", "main_shard", "env_groups", "compile", "cuda_graphs", "tf32", "env.step_timeout",
          "env.restarts")  # fmt: skip
_PARTS = ("config", "spec", "learner", "state", "collector")


def prepare_resumed(cfg: Config, folder: Path, network: OwnNetwork | None = None) -> None:
    """Check the checkpoint to continue; into another folder, bring the best one along.

    Args:
        cfg: the settings; ``cfg.resume`` names the checkpoint.
        folder: where the run goes on.
        network: makes a network of the user's.

    Raises:
        CheckpointError: it is missing or damaged, or does not fit the settings; nothing has changed then.
    """
    path, saved = open_checkpoint(str(cfg.resume), cfg.runs_dir, "last", tell_once)
    lacking = [part for part in _PARTS if not isinstance(saved.get(part), Mapping)]
    if lacking:
        raise CheckpointError(f"{path} lacks {', '.join(lacking)}; it is no checkpoint of a run")
    if cfg.env.masks == AUTO:  # what it found out at its start; nobody looked for masks in version 0.1
        cfg.env.masks = saved["config"].get("env", {}).get("masks", OFF)
    decide_as(cfg, translated(saved["config"]))
    changes = list(_changes(saved["config"], cfg))
    reason = _why_it_does_not_fit(cfg, saved, {key for key, _, _ in changes}, network)
    if reason is not None:
        raise CheckpointError(f"{path} does not fit: {reason}{_listed(changes)}; nothing was changed")
    other = [change for change in changes if not _among(change[0], _QUIET)]
    if other:
        dropped = "; episodes in flight and what their rewards have added up to are dropped"
        more = dropped if any(key == "num_envs" for key, _, _ in other) else ""
        tell(f"resuming with other settings than before: {_spelled(other)}{more}")
    if path.parent.resolve() != (folder / CHECKPOINTS).resolve():
        if run_of(str(path), cfg.runs_dir) is None:
            tell(f"{path} lies in no run's folder: a new run begins in {os.path.relpath(folder)}")
        _bring_best(path.parent, saved, folder / CHECKPOINTS / "best.pt")


def best_score(checkpoints: Path) -> float | None:
    """The score of the best checkpoint, as it says itself: file and score are there both or neither.

    Args:
        checkpoints: their folder.

    Returns:
        None where there is no such file, or none that can be read.
    """
    if not kept(checkpoints, "best"):
        return None
    try:
        score = load_newest(checkpoints, ["best"], tell_once)[1]["state"]["best_eval"]
    except (CheckpointError, KeyError, TypeError):
        tell(f"{checkpoints / 'best.pt'} cannot be read; the next evaluation takes its place")
        return None
    return score if isinstance(score, float) else None


def _bring_best(checkpoints: Path, saved: Mapping[str, Any], target: Path) -> None:
    """Copy the best checkpoint beside the one to continue, if it is of the same run and not from later on."""
    try:
        source, best = load_newest(checkpoints, ["best"], tell_once)
        ours, theirs = (translated(each["config"], tell=str) for each in (best, saved))  # either may be older
        specs = [Spaces.from_dict(dict(each["spec"])) for each in (best, saved)]
        same = all(ours[key] == theirs[key] for key in ("network", "seed", "env")) and specs[0] == specs[1]
        if not same or best["state"]["env_steps"] > saved["state"]["env_steps"]:
            return
    except (CheckpointError, KeyError, TypeError):
        return  # then the run goes on without: the score does not come along either
    target.parent.mkdir(exist_ok=True)
    with replacing(target) as temporary:
        shutil.copyfile(source, temporary)


def _why_it_does_not_fit(
    cfg: Config, saved: Mapping[str, Any], changed: set[str], network: OwnNetwork | None
) -> str | None:
    alone = find_spec(cfg.env.id).entry_point is not None
    made = make_env(cfg.env) if alone else None  # its code may have changed, too
    try:
        spaces = Spaces.from_dict(dict(saved["spec"]))
        if made is not None:
            made.close()
            spaces_of(made.observation_space, made.action_space).check_same(spaces, "it")
        # As small as it gets: what is saved depends on neither.
        small = replace(cfg, num_envs=1, n_step=1, compile=False, device="cpu")
        learner = Learner(make_network(small, spaces, network), small)
        learner.load_state_dict(saved["learner"])
    except CheckpointError as error:
        return str(error).removeprefix("checkpoint error: ")
    except (RuntimeError, ValueError, KeyError, TypeError) as error:
        reason = " ".join(str(error).split())
        return "its network has other layers" if "state_dict" in reason else reason
    names = [env_id.rpartition(":")[2] for env_id in (saved["config"]["env"]["id"], cfg.env.id)]
    if "env.id" in changed and names[0] != names[1] and "<" not in "".join(names):
        return "it was trained on another environment"  # though of the same spaces; its module may have moved
    if "network.activation" in changed and torso_kind(spaces, cfg.network) == "mlp":
        return "its weights were learned with another activation"
    before, now = _code_names(translated(saved["config"])["network"]), _code_names(asdict(cfg.network))
    if other := [key for key in {**before, **now} if before.get(key) != now.get(key)]:
        return f"its weights are of another {other[0]}"  # though of the same shapes; its module may have moved
    if "policy.distribution" in changed and not spaces.whole:
        return "its policy was learned with another distribution"
    collector = saved["collector"]
    if cfg.algo == "a3c" and "workers" in collector and len(collector["workers"]) != (cfg.num_workers or 0):
        if cfg.num_workers is not None:
            had = len(collector["workers"])
            return f"it had num_workers={had}, not {cfg.num_workers}; add num_workers={had}"
    elif cfg.algo == "a3c" and "workers" not in collector:
        return "it has no workers; only algo=a3c saves them"
    elif cfg.algo != "a3c" and cfg.normalize_reward and collector.get("reward_normalizer") is None:
        return "it holds no statistics of rewards"
    return None


def _code_names(network: Mapping[str, Any]) -> dict[str, str]:
    """What the settings of a network call the parts of it that are the user's, without their modules."""
    named = {"network.make": network["make"], "network.torso": network["torso"]}
    named |= {f"network.encoders.{part}": name for part, name in by_part(network["encoders"])}
    return {key: name.rpartition(":")[2] for key, name in named.items() if isinstance(name, str) and ":" in name}


def _changes(before: Mapping[str, Any], cfg: Config) -> Iterator[tuple[str, Any, Any]]:
    """Every setting that differs from the checkpoint's, except what belongs to the session."""
    old, new = dict(flatten(translated(before))), dict(flatten(asdict(cfg)))
    session = OF_THE_SESSION - {"num_workers"} if cfg.algo == "a3c" else OF_THE_SESSION
    for key, value in new.items():
        if key in old and key not in session and redact(old[key], key) != redact(value, key):
            yield key, redact(old[key], key), redact(value, key)


def _among(key: str, names: tuple[str, ...]) -> bool:
    return any(key.startswith(name) if name.endswith(".") else key == name for name in names)


def _listed(changes: list[tuple[str, Any, Any]]) -> str:
    if not changes:
        return ""
    mattering = [change for change in changes if _among(change[0], _MATTERS)]
    others = [change for change in changes if not _among(change[0], _MATTERS)]
    said = f"; settings that differ and matter: {_spelled(mattering)}" if mattering else ""
    which = "other settings" if mattering else "settings"
    return said + (f"; {which} that differ: {_spelled(others)}" if others else "")


def _spelled(changes: list[tuple[str, Any, Any]]) -> str:
    return ", ".join(f"{key}={show(new)} (was {show(old)})" for key, old, new in changes)
