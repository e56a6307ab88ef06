"""Help texts, generated from the settings and ``conf/``, so that they are never out of date."""

from __future__ import annotations

import shutil
import textwrap
from collections.abc import Iterator, Mapping
from typing import Any

from omegaconf import OmegaConf

from a2c.settings.compose import conf_dir, presets
from a2c.settings.config import Config
from a2c.settings.setting import settings

_HEAD = """\
Usage: a2c train [env=PRESET | env.id=ID] [KEY=VALUE ...] [OPTION ...]

  a2c train env=cartpole n_step=8 device=cuda
  a2c train env.id=my_package.my_env:MyEnv env.kwargs.size=5
  a2c train resume=latest total_steps=1e6
  a2c train -m env=cartpole seed=1,2,3         one run for each value; then they are compared
  a2c train -m seed=1,2,3 hydra/launcher=cores   as many of them at once as there are cores

Options:
  -m, --multirun         train once with every combination of values separated by commas
  -c, --cfg job          print the composed settings and stop
  -cd, --config-dir DIR  read presets of your own from DIR/env/*.yaml too
  --trust                import what a resumed run names (env.id, env.wrappers, network.*), without naming it again
  -i, --info             print how Hydra composes
  -h, --help             this text
"""


def train_help() -> str:
    """Usage, presets and every setting of ``a2c train``."""
    return "\n".join([_HEAD, "Presets:", *_presets(), "", "Settings:", *setting_lines(Config, "config")])


def _presets() -> Iterator[str]:
    for name, path in sorted(presets().items()):
        env_id = OmegaConf.to_container(OmegaConf.load(path))["env"]["id"]  # type: ignore[index, call-overload]
        yield f"  env={name:<15} {'any other: env.id=ID chooses it' if env_id == '???' else env_id}"
    for name, path in sorted(presets(group="algo").items()):
        yield f"  algo={name:<14} {path.read_text().splitlines()[1].removeprefix('# ')}"


def setting_lines(schema: type[Any], name: str) -> Iterator[str]:
    """A paragraph for every setting of ``schema``: key, value in ``conf/<name>.yaml``, what it means, its range."""
    values = OmegaConf.to_container(OmegaConf.load(conf_dir() / f"{name}.yaml"))
    width = max(60, min(120, shutil.get_terminal_size().columns))
    for key, _, rule in settings(schema):
        shown = f"{key}={_shown(_at(values, key))}"
        allowed = str(rule).replace("must be ", "")
        text = f"{rule.doc} ({allowed})" if allowed and not rule.pattern else rule.doc
        lines = textwrap.wrap(text, width - 39)
        yield f"  {shown:<36} {lines[0]}" if len(shown) <= 36 else f"  {shown}\n{'':<39}{lines[0]}"
        yield from (f"{'':<39}{line}" for line in lines[1:])


def _at(values: Any, key: str) -> Any:
    for part in key.split("."):
        values = values[part]
    return values


def _shown(value: Any) -> str:
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, Mapping | list):
        return str(value).replace(" ", "")
    return str(value)
