"""Import a module that a setting names."""

from __future__ import annotations

import importlib
import os
import sys
import warnings
from types import ModuleType

from a2c.errors import ConfigError


def import_quietly(module: str) -> ModuleType:
    """Import a module that may register environments."""
    with warnings.catch_warnings():
        # A worker already has the ids of the main process when it imports the module that registers them again.
        warnings.filterwarnings("ignore", message=".*Overriding environment .* already in registry")
        return importlib.import_module(module)


def import_named(setting: str, module: str) -> None:
    """Import a module that a setting names, also from the folder that the user is in.

    Args:
        setting: names the setting in errors, like ``env.id=my_module:MyEnv``.
        module: the module.

    Raises:
        ConfigError: it cannot be imported; says why.
    """
    here = os.getcwd()
    if here not in sys.path and "" not in sys.path:
        sys.path.append(here)  # a console command, unlike `python -m`, does not look into the user's folder
    try:
        import_quietly(module)
    except ModuleNotFoundError as error:
        if error.name and (module == error.name or module.startswith(f"{error.name}.")):
            raise ConfigError(
                f"{setting}: no module named '{error.name}'; install it, or run from the folder that holds it"
            ) from error
        raise ConfigError(f"{setting}: importing {module} needs '{error.name}', which is not installed") from error
    except (Exception, SystemExit) as error:  # a module that is a script may end its program
        line = next(iter(str(error).strip().splitlines()), "")
        raise ConfigError(f"{setting}: importing {module} raised {type(error).__name__}: {line}") from error
