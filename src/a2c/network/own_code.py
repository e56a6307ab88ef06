"""Code of the user's in a network: found by its name, and called so that one line says what went wrong in it."""

from __future__ import annotations

import difflib
import sys
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import nn

from a2c.envs.foreign import named_failure, users_own
from a2c.envs.single.importing import import_named
from a2c.errors import A2CError, ConfigError
from a2c.machine.processes.foreign_code import of_others
from a2c.settings.code_names import attribute, importable

CONSTRUCTOR, FORWARD = "its constructor", "its forward pass"  # when it raised


def found(setting: str, name: str) -> Callable[..., Any]:
    """Import what a setting names.

    Args:
        setting: like ``network.torso``.
        name: like ``my_package.nets:MyTorso``.

    Raises:
        ConfigError: there is no such module, or no such function or class in it.
    """
    module, _, within = name.partition(":")
    if not importable(name):
        raise ConfigError(
            f"{setting}={name} was given as an object, and no import finds it: give it again, in Python: network=..."
        )
    of_others(import_named, f"{setting}={name}", module)
    made = attribute(module, within)
    if not callable(made):
        known = [key for key, value in vars(sys.modules[module]).items() if callable(value)]
        near = difflib.get_close_matches(within, known, n=1)
        hint = f"; did you mean '{near[0]}'?" if near else ""
        raise ConfigError(f"{setting}={name}: {module} has no function or class '{within}'{hint}")
    return made  # type: ignore[no-any-return]


def called(call: Callable[..., Any], name: str, when: str, *arguments: Any) -> Any:
    """Call code of the user's.

    Args:
        call: the code.
        name: of it, for the error.
        when: such as ``its constructor``.
        arguments: of the call.

    Raises:
        ConfigError: whatever it raised, in one line, with its traceback as a note.
        GaveUpError, KeyboardInterrupt: the run is to end.
    """
    try:
        return of_others(call, *arguments)
    except A2CError:
        raise
    except BaseException as error:
        if users_own(error):
            raise
        raise named_failure(error, name, when, ConfigError) from None


def a_module(made: Any, name: str) -> nn.Module:
    """What a user's function made, if it is a module that training can handle.

    Raises:
        ConfigError: it is no module, or its weights are not float32.
    """
    if not isinstance(made, nn.Module):
        raise ConfigError(f"{name} gave a {type(made).__name__}; it needs to be a torch.nn.Module")
    for key, param in _weights(made):
        if param.dtype != torch.float32:
            kind = str(param.dtype).removeprefix("torch.")
            raise ConfigError(f"{name}: its weight {key} is {kind}; weights need to be float32")
    return made


def _weights(module: nn.Module) -> Iterator[tuple[str, nn.Parameter]]:
    """Those that have their shape by now: a lazy layer's do not."""
    for key, param in module.named_parameters():
        if not isinstance(param, nn.parameter.UninitializedParameter):
            yield key, param
