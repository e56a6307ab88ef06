"""Hydra composition: ``conf/`` plus overrides becomes one plain, checked dataclass."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from hydra import compose, initialize_config_dir
from hydra.errors import HydraException, MissingConfigException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import MarkedYAMLError

from a2c.config import Config, validate
from a2c.errors import A2CError, ConfigError
from a2c.overrides import prepare
from a2c.records import build

Record = TypeVar("Record")


def conf_dir() -> Path:
    """``conf/``: inside the package in a wheel, at the top of the repository in a checkout."""
    package = Path(__file__).resolve().parent
    for folder in (package / "conf", package.parents[1] / "conf"):
        if (folder / "config.yaml").is_file():
            return folder
    raise ConfigError(f"conf/config.yaml is missing beside {package}; install a2c again")


def presets() -> dict[str, list[str]]:
    """The options of every config group: ``{"env": ["acrobot", ...]}``."""
    return {"env": sorted(path.stem for path in (conf_dir() / "env").glob("*.yaml"))}


def load_config(*overrides: str) -> Config:
    """Compose ``conf/config.yaml``, a preset and overrides, as the command line does.

    Args:
        overrides: like ``"env=cartpole"``, ``"n_step=8"``, ``"env.id=Acrobot-v1"``.

    Raises:
        ConfigError: an unknown key, a wrong type or a value out of range, in one line.
    """
    return to_config(compose_plain("config", prepare(overrides, Config, presets())))


def compose_plain(name: str, overrides: Sequence[str]) -> dict[str, Any]:
    """Compose ``conf/<name>.yaml`` with overrides that :func:`prepare` has checked; plain values, all resolved."""
    try:
        with initialize_config_dir(config_dir=str(conf_dir()), version_base="1.3"):
            return plain(compose(name, list(overrides)))
    except (HydraException, OmegaConfBaseException, MarkedYAMLError) as error:
        raise ConfigError(one_line(error)) from error


def plain(cfg: DictConfig) -> dict[str, Any]:
    """An OmegaConf tree as plain dictionaries and lists, interpolations resolved.

    Raises:
        ConfigError: an interpolation that leads nowhere.
    """
    try:
        tree = OmegaConf.to_container(cfg, resolve=True)
    except OmegaConfBaseException as error:
        raise ConfigError(one_line(error)) from error
    assert isinstance(tree, dict)
    return {str(key): value for key, value in tree.items()}


def to_config(tree: Mapping[str, Any]) -> Config:
    """The checked :class:`Config` of a plain tree."""
    return validate(build(Config, tree))


def one_line(error: BaseException) -> str:
    """What a Hydra, OmegaConf or YAML error says, in one line: with file and line where it knows them."""
    chain: list[BaseException] = []
    link: BaseException | None = error
    while link is not None and link not in chain:
        chain.append(link)
        link = link.__cause__ or link.__context__
    for link in chain:
        if isinstance(link, A2CError):
            return str(link).partition(": ")[2]
        if isinstance(link, MarkedYAMLError) and link.problem_mark is not None:
            return f"{link.problem_mark.name} line {link.problem_mark.line + 1}: {link.problem}"
    first, *rest = [line.strip() for line in str(error).splitlines() if line.strip()]
    return first
