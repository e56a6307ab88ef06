"""Hydra called from here: with our arguments in the place of the process's own, and its errors as ours."""

from __future__ import annotations

import contextlib
import logging
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import hydra
from hydra.errors import HydraException
from omegaconf.errors import OmegaConfBaseException

from a2c.cli.exit_codes import full_errors
from a2c.errors import A2CError, ConfigError, RunIOError
from a2c.settings.compose import conf_dir, one_line


def call_hydra(arguments: Sequence[str], config_name: str, job: Callable[..., Any]) -> None:
    """Let Hydra do what ``arguments`` ask, with ``conf/<config_name>.yaml``; it calls ``job`` for each job.

    Raises:
        SystemExit: Hydra has shown what it was asked for, or a job ends the program.
        ConfigError: Hydra refuses an argument.
        RunIOError: a folder cannot be written.
    """
    try:
        with _command_line(arguments), _log_handlers_closed():
            hydra.main(config_path=str(conf_dir()), config_name=config_name, version_base="1.3")(job)()
    except (HydraException, OmegaConfBaseException) as error:
        raise _plain_error(error) from error
    except OSError as error:
        raise cannot_write(error) from error


def cannot_write(error: OSError) -> RunIOError:
    """What a user is told of a file of a run that cannot be written."""
    return RunIOError(f"cannot write {error.filename or 'a file of the run'}: {error.strerror or error}")


def _plain_error(error: Exception) -> A2CError:
    link: BaseException | None = error
    while link is not None:
        if isinstance(link, A2CError):
            return link
        link = link.__cause__ or link.__context__
    return ConfigError(one_line(error))


@contextlib.contextmanager
def _command_line(arguments: Sequence[str]) -> Iterator[None]:
    """Show Hydra these arguments, and make it raise its errors instead of printing them."""
    argv, asked = sys.argv, full_errors()
    sys.argv = ["a2c", *arguments]
    os.environ["HYDRA_FULL_ERROR"] = "1"
    try:
        yield
    finally:
        sys.argv = argv
        if not asked:
            del os.environ["HYDRA_FULL_ERROR"]


@contextlib.contextmanager
def _log_handlers_closed() -> Iterator[None]:
    """Restore the root logger afterwards: Hydra leaves train.log open."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    try:
        yield
    finally:
        for handler in root.handlers[:]:
            if handler not in handlers:
                root.removeHandler(handler)
                handler.close()
        for handler in handlers:
            if handler not in root.handlers:
                root.addHandler(handler)
        root.setLevel(level)
