"""Hydra composition: ``conf/`` plus overrides becomes one plain, checked dataclass."""

from __future__ import annotations

import re
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hydra import version
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.utils import create_config_search_path
from hydra.core.utils import setup_globals
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf, open_dict
from omegaconf.errors import OmegaConfBaseException
from yaml import MarkedYAMLError

from a2c.errors import A2CError, ConfigError
from a2c.settings.config import Config
from a2c.settings.hydra_keys import check_composed, not_installed
from a2c.settings.old_values import translated
from a2c.settings.overrides import prepare
from a2c.settings.resumed_settings import with_settings_of_resumed_run
from a2c.settings.rules import validate
from a2c.settings.sizes import check_folder, check_interpolations
from a2c.settings.typed_settings import build
from a2c.storage.folders import new_run

GROUPS = ("env", "algo")  # folders of conf/ with presets; a config takes one of each

_composing = threading.RLock()  # Hydra registers resolvers, plugins and its version for the whole process

# Cached, so that one composed config means one folder, however often its path is read.
OmegaConf.register_new_resolver("new_run", new_run, use_cache=True, replace=True)


def conf_dir() -> Path:
    """``conf/``: inside the package in a wheel, at the top of the repository in a checkout.

    Raises:
        ConfigError: neither is there.
    """
    package = Path(__file__).resolve().parents[1]
    for folder in (package / "conf", package.parents[1] / "conf"):
        if (folder / "config.yaml").is_file():
            return folder
    raise ConfigError(f"conf/config.yaml is missing beside {package}; install a2c again")


def presets(*more: Path, group: str = "env") -> dict[str, Path]:
    """The files of a group's presets by name: those of ``conf/<group>``, and of ``<group>/`` in ``more`` folders."""
    return {path.stem: path for folder in (*more, conf_dir()) for path in sorted((folder / group).glob("*.yaml"))}


def load_config(*overrides: str, trust: bool = True) -> Config:
    """Compose ``conf/config.yaml``, a preset and overrides, as the command line does.

    Args:
        overrides: like ``"env=cartpole"``, ``"n_step=8"``, ``"env.id=Acrobot-v1"``.
        trust: whether a run to resume may import a module that its ``env.id`` names; False: only if it is given here.

    Raises:
        ConfigError: an unknown key, a wrong type or a value out of range, in one line.
    """
    return to_config(compose_plain("config", prepare_training(overrides, trust=trust)))


def prepare_training(overrides: Sequence[str], *more: Path, trust: bool = True) -> list[str]:
    """Training overrides for Hydra: checked and completed (:func:`prepare`), after those of a resumed run.

    Args:
        overrides: as typed.
        more: folders with further presets.
        trust: whether a resumed run may import a module that ``overrides`` do not name.

    Raises:
        ConfigError: an override is wrong, or a file of settings is out of all proportion.
        CheckpointError: there is no run to resume.
    """
    for folder in (*more, conf_dir()):
        check_folder(folder, GROUPS)
    groups = {group: presets(*more, group=group) for group in GROUPS}
    return with_settings_of_resumed_run(
        prepare(overrides, Config, {group: list(files) for group, files in groups.items()}), groups, trust=trust
    )


def compose_plain(name: str, overrides: Sequence[str], *more: Path) -> dict[str, Any]:
    """Compose ``conf/<name>.yaml`` with overrides into plain values, interpolations resolved.

    Args:
        name: of the file.
        overrides: from :func:`prepare`.
        more: folders with further presets.

    Raises:
        ConfigError: Hydra refuses an override, or a file is not valid.
    """
    for folder in (*more, conf_dir()):
        check_folder(folder, GROUPS)
    try:
        tree = _composed(name, [*_search(more), *overrides])
        check_composed(OmegaConf.to_container(tree.hydra, resolve=False))
        with open_dict(tree):
            del tree["hydra"]
        return plain(tree)
    except (HydraException, OmegaConfBaseException, MarkedYAMLError) as error:
        raise ConfigError(one_line(error)) from error
    except RecursionError:
        raise ConfigError("the settings are nested too deeply, or refer to themselves") from None


def launcher_settings(overrides: Sequence[str], *more: Path) -> dict[str, Any]:
    """``hydra.launcher`` of what :func:`compose_plain` has composed, interpolations kept."""
    tree = OmegaConf.to_container(_composed("config", [*_search(more), *overrides]).hydra.launcher, resolve=False)
    assert isinstance(tree, dict)
    return {str(key): value for key, value in tree.items()}


def _search(more: Sequence[Path]) -> list[str]:
    return [f"hydra.searchpath=[{','.join(f'file://{folder}' for folder in more)}]"] if more else []


def _composed(name: str, overrides: list[str]) -> DictConfig:
    """Compose without Hydra's one place for the whole process (GlobalHydra).

    ``hydra.compose`` takes whatever that place holds. It may be at work there on this very job, or on the caller's
    settings in another thread, which would then get ours.
    """
    loader = ConfigLoaderImpl(create_config_search_path(str(conf_dir())))
    with _composing:
        setup_globals()  # resolvers like ${now:...}
        if version.getbase() is version._UNSPECIFIED_:  # nobody has said which Hydra's files these are
            version.setbase("1.3")
        return loader.load_configuration(name, ["hydra.job.name=a2c", *overrides], RunMode.RUN, from_shell=False)


def plain(cfg: DictConfig) -> dict[str, Any]:
    """An OmegaConf tree as plain dictionaries and lists, interpolations resolved.

    Raises:
        ConfigError: an interpolation leads nowhere, or there are more than anybody writes.
    """
    check_interpolations(OmegaConf.to_container(cfg, resolve=False), "the settings")
    try:
        tree = OmegaConf.to_container(cfg, resolve=True)
    except OmegaConfBaseException as error:
        raise ConfigError(one_line(error)) from error
    assert isinstance(tree, dict)
    return {str(key): value for key, value in tree.items()}


def to_config(tree: Mapping[str, Any]) -> Config:
    """The checked :class:`Config` of a plain tree; raises :class:`ConfigError`."""
    return validate(build(Config, translated(tree)))


def one_line(error: BaseException) -> str:
    """What a Hydra, OmegaConf or YAML error says, in one line, with file and line number where it knows them."""
    link: BaseException | None = error
    while link is not None:
        if isinstance(link, A2CError):
            return str(link).partition(": ")[2]
        if isinstance(link, MarkedYAMLError) and link.problem_mark is not None:
            return f"{link.problem_mark.name} line {link.problem_mark.line + 1}: {link.problem}"
        link = link.__cause__ or link.__context__
    if ambiguous := re.match(r"Ambiguous value for argument '(.*)'", str(error)):
        return f"{ambiguous[1]} holds several values; -m trains once with each, [a,b] is a list"
    if unknown := re.match(r"Could not override '([^']*)'", str(error)):
        return f"unknown key '{unknown[1]}'"
    if missing := re.search(
        r"(?:In 'hydra/\w+/(\w+)': )?Could not (?:find|load) 'hydra/(launcher|sweeper)/([^']*)'", str(error)
    ):
        asked, kind, name = missing.groups()
        return not_installed(kind, asked or name)
    lines = [line.strip() for line in str(error).splitlines()]
    return next((line for line in lines if line), type(error).__name__)
