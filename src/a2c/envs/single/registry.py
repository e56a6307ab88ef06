"""Find the environment that an id means, and tell a user whose id or installation is wrong what to do."""

from __future__ import annotations

import difflib
import importlib.util
import re
import traceback
from typing import Any

import gymnasium as gym
from gymnasium.envs.registration import EnvSpec

from a2c.envs.single import from_envpool
from a2c.envs.single.importing import import_named, import_quietly
from a2c.envs.single.mujoco_log import log_warnings
from a2c.envs.single.own import found_in_module
from a2c.errors import A2CError, ConfigError, EnvironmentFailure
from a2c.machine.processes.failure_report import text_of
from a2c.settings.auto_values import MINIGRID
from a2c.settings.code_names import importable
from a2c.settings.redaction import redact

# Where an environment's code lives (the start of its entry point) -> what installs what it needs.
_INSTALL = {
    "ale_py": "pip install ale-py opencv-python-headless (the extra a2c[atari])",
    "minigrid": "pip install minigrid (the extra a2c[minigrid])",
    "gymnasium.envs.box2d": "pip install box2d pygame-ce (the extra a2c[box2d])",
    "gymnasium.envs.mujoco": "pip install mujoco imageio (the extra a2c[mujoco])",
    "gymnasium.envs.classic_control": "pip install pygame-ce (the extra a2c[classic])",
    "gymnasium.envs.toy_text": "pip install pygame-ce (the extra a2c[classic])",
    "gymnasium.envs.phys2d": "pip install jax flax",
    "gymnasium.envs.tabular": "pip install jax flax",
}


def find_spec(env_id: str) -> EnvSpec:
    """Find the registration behind ``Id`` or ``module:Id``; this imports the module first, which registers the id.

    ``module:Name`` may also be a class or function of the module, or what a program handed over
    (:mod:`a2c.envs.single.own`).

    Raises:
        ConfigError: unknown id or missing package, with the nearest id or what to install.
    """
    module, _, name = env_id.rpartition(":")
    if module and env_id in gym.registry:  # handed over, or found before; its module may have been loaded again
        return found_in_module(env_id) or gym.registry[env_id]
    if "<" not in name and module:
        import_named(f"env.id={env_id}", module)
    elif name.startswith("ALE/"):
        _register_atari(name)
    elif name.startswith(from_envpool.PREFIX):
        from_envpool.register(name)
    elif name.startswith(MINIGRID):
        _register_minigrid(name)
    if name not in gym.registry or _is_old_atari(gym.registry[name]):
        found = found_in_module(env_id) if module else None
        if found is None:
            raise ConfigError(_unknown(env_id, module, name))
        return found
    log_warnings(gym.spec(name))
    return gym.spec(name)


def refusal(error: BaseException, spec: EnvSpec, kwargs: dict[str, Any], what: str = "could not be made") -> A2CError:
    """The error for the user when making an environment raised ``error``.

    Args:
        error: what was raised.
        spec: the environment's registration.
        kwargs: ``env.kwargs`` of the settings.
        what: is the matter, should no more be known.
    """
    if isinstance(error, A2CError):
        return error
    line = next(iter(text_of(error).strip().splitlines()), "") or "no message"
    if isinstance(error, (ImportError, gym.error.DependencyNotInstalled)):
        hint = next((how for start, how in _INSTALL.items() if str(spec.entry_point).startswith(start)), None)
        missing = _missing_module(error)
        if missing is None:  # it is there, and does not load
            line = next(iter(str(error.__cause__ or error).strip().splitlines()), line)
            return ConfigError(f"{spec.id} needs a package that cannot be loaded ({line}){f': {hint}' if hint else ''}")
        how = f": {hint}" if hint else "; install the package that holds it"
        return ConfigError(f"{spec.id} needs the module '{missing}', which is not installed{how}")
    if isinstance(error, TypeError) and re.search(r"argument 'render_mode'|takes no arguments.*'render_mode'", line):
        return ConfigError(f"{spec.id} cannot be rendered: what makes it takes no render_mode")
    if isinstance(error, TypeError) and "argument" in line:
        return ConfigError(f"{spec.id} does not accept env.kwargs={redact(kwargs)}: {line}")
    failure = EnvironmentFailure(f"{spec.id} {what}: {type(error).__name__}: {line}")
    failure.add_note("".join(traceback.format_exception(error)))
    return failure


def _missing_module(error: BaseException) -> str | None:
    """The module that was really missing: Gymnasium reports a guess, and keeps what happened as the cause."""
    found: str | None = None
    link: BaseException | None = error
    while link is not None:
        if isinstance(link, ModuleNotFoundError) and link.name:
            found = link.name  # the first cause counts
        link = link.__cause__ or link.__context__
    return found


def _register_atari(name: str) -> None:
    try:
        ale_py = import_quietly("ale_py")
    except ImportError as error:
        raise ConfigError(f"env.id={name} needs ale-py: {_INSTALL['ale_py']}") from error
    gym.register_envs(ale_py)
    ale_py.ALEInterface.setLoggerMode(ale_py.LoggerMode.Error)  # no banner from every worker


def _register_minigrid(name: str) -> None:
    try:
        import_quietly("minigrid")
    except ImportError as error:
        raise ConfigError(f"env.id={name} needs minigrid: {_INSTALL['minigrid']}") from error


def _unknown(env_id: str, module: str, name: str) -> str:
    if not importable(env_id):
        return (
            f"env.id={env_id} was handed over by a program; do that again (env= in Python), "
            "or name where it is defined: env.id=module:Name"
        )
    if importlib.util.find_spec("ale_py") is not None:
        _register_atari(name)  # so that Pong-v5 finds ALE/Pong-v5
    guess = _nearest(name)
    where = f" after importing {module}" if module else ""
    hint = f"; did you mean '{guess}'?" if guess else "; one of your own is written module:Name"
    return f"env.id={env_id}: unknown environment '{name}'{where}{hint}"


def _nearest(name: str) -> str | None:
    """The registered id that the user probably meant: compare whole ids, then names without namespace and version."""
    known = [spec.id for spec in gym.registry.values() if not _is_old_atari(spec)]
    if name.startswith(from_envpool.PREFIX):
        known = from_envpool.known_ids()
    folded = {each.lower(): each for each in known}
    near = difflib.get_close_matches(name.lower(), folded, n=1, cutoff=0.75)
    if near:
        return folded[near[0]]
    stems = {_stem(each): each for each in sorted(known)}  # the highest version of a name comes last
    near = difflib.get_close_matches(_stem(name), stems, n=1, cutoff=0.75)
    return stems[near[0]] if near else None


def _is_old_atari(spec: EnvSpec) -> bool:
    """Pong-v4, PongNoFrameskip-v4, ...: their names fix what env.atari sets, and exist only once ale-py is imported."""
    return spec.namespace is None and str(spec.entry_point).startswith("ale_py")


def _stem(name: str) -> str:
    return re.sub(r"^.*/|-v\d+$|noframeskip|deterministic", "", name.lower())
