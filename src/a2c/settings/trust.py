"""``env.id=module:Id`` runs the code of that module. Whoever types it wants that; a run from elsewhere has to ask."""

from __future__ import annotations

from a2c.errors import ConfigError

FLAG = "--trust"


def imports_foreign_code(env_id: str) -> bool:
    """Whether making this environment imports a module that is not our own."""
    module = env_id.rpartition(":")[0]
    return bool(module) and module != "a2c" and not module.startswith("a2c.")


def ask_for_trust(env_id: str, run: str) -> None:
    """Refuse an id that imports a module, since nobody who typed this command named it.

    Args:
        env_id: of the run.
        run: names the run in the error.

    Raises:
        ConfigError: the id names a module that is not our own.
    """
    if imports_foreign_code(env_id):
        module = env_id.rpartition(":")[0]
        raise ConfigError(
            f"{run} imports the module '{module}', which can do anything; name it again (env.id={env_id}), "
            f"or trust the run ({FLAG})"
        )
