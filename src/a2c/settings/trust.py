"""``env.id=module:Id`` runs the code of that module. Whoever types it wants that; a run from elsewhere has to ask.

So do the wrappers of ``env.wrappers``, except Gymnasium's own.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from a2c.errors import ConfigError
from a2c.settings.named_wrappers import named_wrappers

FLAG = "--trust"


def imports_foreign_code(env_id: str, wrappers: Sequence[Any] = ()) -> bool:
    """Whether making this environment imports a module that is not our own."""
    return _is_foreign(env_id) or bool(foreign_wrappers(wrappers))


def of_a_program(env_id: str) -> bool:
    """Whether the id names what a script or a notebook handed over: nothing that an import could find again."""
    return env_id.startswith("__main__:") or "<" in env_id


def foreign_wrappers(wrappers: Sequence[Any]) -> list[str]:
    """The names in ``env.wrappers`` whose module is not Gymnasium's own."""
    return [one.label for one in named_wrappers(wrappers) if not one.of_gymnasium]


def ask_for_trust(env_id: str | None, wrappers: Sequence[Any] | None, run: str) -> None:
    """Refuse what imports a module, since nobody who typed this command named it.

    Args:
        env_id: of the run; None: the command names it.
        wrappers: of the run, likewise.
        run: names the run in the error.

    Raises:
        ConfigError: the id or a wrapper names a module that is not our own.
    """
    if env_id is not None and _is_foreign(env_id):
        module = env_id.rpartition(":")[0]
        raise ConfigError(
            f"{run} imports the module '{module}', which can do anything; name it again (env.id={env_id}), "
            f"or trust the run ({FLAG})"
        )
    if foreign := foreign_wrappers(wrappers or ()):
        raise ConfigError(
            f"{run} wraps its environment in {', '.join(foreign)}, which can do anything; name that again "
            f"(env.wrappers=[...]), or trust the run ({FLAG})"
        )


def _is_foreign(env_id: str) -> bool:
    module = env_id.rpartition(":")[0]
    return bool(module) and module != "a2c" and not module.startswith("a2c.") and not of_a_program(env_id)
