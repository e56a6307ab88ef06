"""The ``a2c`` command. It reports a mistake in the arguments before it imports anything heavy."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence

from a2c import __version__
from a2c.cli.commands import COMMANDS
from a2c.cli.exit_codes import exit_code_of, full_errors
from a2c.cli.standard_streams import open_what_is_closed, point_nowhere
from a2c.errors import ConfigError, RunIOError
from a2c.settings.redaction import Secrets
from a2c.settings.suggest import nearest


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line.

    Args:
        arguments: without the program's name; None takes those of this process.

    Returns:
        The exit code: 0 ok, 2 config, 3 environment, 4 numeric, 5 checkpoint, 6 i/o, 129 SIGHUP, 130 SIGINT,
        143 SIGTERM.
    """
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    open_what_is_closed()
    try:
        code = _run(arguments)
        sys.stdout.flush()
        return code
    except BrokenPipeError:  # a2c train --help | head
        point_nowhere(sys.stdout)
        return 0
    except OSError as error:
        if error.filename is not None:
            return exit_code_of(error, full_errors())
        point_nowhere(sys.stdout)  # it is what was being written to, and the exit would flush it again
        return exit_code_of(RunIOError(f"cannot write what to show: {error.strerror or error}"), full_errors())
    except (Exception, KeyboardInterrupt) as error:
        Secrets.of_arguments(arguments).hide_in(error)  # standard error may be a file
        return exit_code_of(error, full_errors())


def _run(arguments: list[str]) -> int:
    first = arguments[0] if arguments else "--help"
    if first in ("-h", "--help", "help"):
        print(_help())
        return 0
    if first in ("-V", "--version"):
        print(f"a2c {__version__}")
        return 0
    if first in ("-sc", "--shell-completion"):
        from a2c.cli.completion import complete

        return complete(arguments[1:])
    if first not in COMMANDS:
        guess = "train" if "=" in first else nearest(first, COMMANDS)
        hint = f"did you mean 'a2c {guess}{' ' + first if '=' in first else ''}'?" if guess else "a2c --help lists them"
        raise ConfigError(f"unknown command '{first}'; {hint}")
    module, _ = COMMANDS[first]
    code: int = importlib.import_module(module).run(arguments[1:])
    return code


def _help() -> str:
    commands = "\n".join(f"  a2c {name:<7} {what}" for name, (_, what) in COMMANDS.items())
    return f"""a2c {__version__}: a synchronous advantage actor-critic trainer

{commands}

  a2c train env=cartpole             presets and settings: a2c train --help
  a2c train env.id=MyEnv-v0          any other Gymnasium environment
  a2c eval run=latest episodes=20
  a2c watch run=latest
  a2c runs
  a2c show latest
  a2c compare 'runs/CartPole-v1/*'
  a2c sweep conf/sweep/lunarlander.yaml trials=30
  a2c replay runs/.../numeric-1280.pt
  a2c doctor env.id=my_module:MyEnv-v0
  a2c study claims=[lag,entropy]

  --version                          a2c's version
  -sc install=bash                   completion: eval "$(a2c -sc install=bash)"

Exit codes: 0 ok, 2 config, 3 environment, 4 numeric, 5 checkpoint, 6 i/o, 129 closed terminal, 130 Ctrl-C, 143 SIGTERM.
HYDRA_FULL_ERROR=1 shows the traceback of an error."""
