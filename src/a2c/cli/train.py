"""``a2c train``: Hydra composes, makes the run folder, and hands a plain config to the trainer."""

from __future__ import annotations

import argparse
import contextlib
import logging
import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from pathlib import Path

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from a2c.cli.compare_runs import compare_jobs
from a2c.cli.exit_codes import exit_code_of, exit_code_of_stop, full_errors, log_failure
from a2c.cli.flags import parse_flags
from a2c.cli.help import train_help
from a2c.cli.multirun import another_sweeper, jobs_to_check, name_the_failed
from a2c.cli.records import write_records
from a2c.cli.secrecy import clean_multirun_record, hidden_in_logs
from a2c.collecting.preflight import check_settings
from a2c.envs.look import decided
from a2c.errors import A2CError, ConfigError, RunIOError
from a2c.machine.rank_place import place_here
from a2c.run.claiming import claimed
from a2c.settings.compose import compose_plain, conf_dir, one_line, plain, prepare_training, to_config
from a2c.settings.config import Config
from a2c.settings.overrides import parse, quote
from a2c.settings.redaction import Secrets
from a2c.settings.sweep_guard import refuse_foreign_code
from a2c.storage.folders import AUTO, LATEST, discard_if_empty, is_run, run_of


def run(arguments: Sequence[str]) -> int:
    """Train with the settings of the command line, with ``-m`` once per combination; returns the exit code."""
    flags = parse_flags(arguments)
    if flags.help:
        print(train_help())
        return 0
    more = [flags.config_dir] if flags.config_dir else []
    overrides, configs = flags.overrides, []
    if not flags.shell_completion:
        overrides = prepare_training(overrides, *more, trust=flags.trust)
        jobs = jobs_to_check(overrides) if flags.multirun else [overrides]
        trees = [compose_plain("config", job, *more) for job in jobs]
        # Another sweeper reads values in its own way: whether they fit shows when each job starts.
        unread = flags.multirun and another_sweeper(overrides)
        configs = [] if unread else [_allowed(to_config(tree)) for tree in trees]
        if (place := place_here()) is not None and flags.multirun:
            raise ConfigError("-m starts one run after the other, and torchrun all ranks of one; leave out one of them")
        if place is not None and place.rank > 0 and (flags.cfg or flags.info):
            return 0  # one of them shows the settings
        if place is not None and place.rank > 0:  # the first rank makes the folder, and knows what to resume
            return _follow(configs[0])
        if place is not None and place.restarts and not configs[0].resume:
            overrides = [*overrides, "resume=auto"]
            configs = [replace(configs[0], resume=AUTO)]
        if any(cfg.resume == AUTO for cfg in configs) and not (flags.cfg or flags.info):
            if flags.multirun:
                raise ConfigError("resume=auto goes on with one run; leave out -m")
            return _resume_auto(decided(configs[0]), flags, overrides)
        if not flags.multirun and configs[0].resume:
            overrides = [*_same_folder(configs[0], overrides), *overrides]
    with hidden_in_logs(Secrets.of(*map(asdict, configs))):  # a multirun's launcher logs what each job is told
        return run_hydra(_hydra_arguments(flags, overrides), "config")


def _follow(cfg: Config) -> int:
    """Train as a rank that is not the first; returns the exit code."""
    from a2c.api import train_in  # imports torch

    secrets = Secrets.of(asdict(cfg))
    try:
        with hidden_in_logs(secrets):
            return exit_code_of_stop(train_in(decided(cfg), Path(cfg.runs_dir)).stopped)
    except (Exception, KeyboardInterrupt) as error:
        secrets.hide_in(error)
        return exit_code_of(error, full_errors())


def _resume_auto(cfg: Config, flags: argparse.Namespace, overrides: Sequence[str]) -> int:
    """Go on with the newest unfinished run of these settings, or begin one; returns the exit code."""
    from a2c.api import let_others_go
    from a2c.run.auto_resume import chosen, said_of  # imports torch

    with chosen(cfg) as choice:
        if choice.folder is not None and choice.finished is not None:
            print(said_of(choice.folder, choice.finished))
            let_others_go(cfg, choice.finished)
            return 0
        others = [text for text in overrides if parse(text)[1].key_or_group != "resume"]
        resume = "null" if choice.resume is None else quote(choice.resume)
        place = [] if choice.folder is None else _in_folder(choice.folder, overrides)
        return run_hydra(_hydra_arguments(flags, [*place, *others, f"resume={resume}"]), "config")


def _allowed(cfg: Config) -> Config:
    refuse_foreign_code(cfg)
    check_settings(cfg)
    return cfg


def _same_folder(cfg: Config, overrides: Sequence[str]) -> list[str]:
    """A resumed run goes on in its folder, unless the user chose one."""
    folder = run_of(str(cfg.resume), cfg.runs_dir)
    return [] if folder is None else _in_folder(folder, overrides)


def _in_folder(folder: Path, overrides: Sequence[str]) -> list[str]:
    if any(parse(text)[1].key_or_group == "hydra.run.dir" for text in overrides):
        return []
    return [f"hydra.run.dir={quote(str(folder.resolve()))}"]


def _hydra_arguments(flags: argparse.Namespace, overrides: Sequence[str]) -> list[str]:
    arguments = []
    for name in ("multirun", "resolve", "shell_completion", "hydra_help"):
        arguments += [f"--{name.replace('_', '-')}"] * getattr(flags, name)
    for name in ("cfg", "package", "info", "config_dir"):
        value = getattr(flags, name)
        arguments += [f"--{name.replace('_', '-')}", str(value)] if value is not None else []
    return [*arguments, *overrides]


def run_hydra(arguments: Sequence[str], config_name: str) -> int:
    """Let Hydra do what ``arguments`` ask, with ``conf/<config_name>.yaml``.

    Returns:
        The first exit code of a job that is not 0, or 0.

    Raises:
        ConfigError: Hydra refuses an argument.
        RunIOError: the run folder cannot be written.
    """
    codes: list[int] = []
    jobs: list[list[str]] = []
    folders: list[Path] = []
    full = full_errors()  # read it before _command_line sets the variable for Hydra

    def job(tree: DictConfig) -> None:
        jobs.append(list(HydraConfig.get().overrides.task))
        folders.append(Path(HydraConfig.get().runtime.output_dir))
        code = _train(tree, folders[-1], full)
        codes.append(code)
        if code >= 128:  # a signal ends a whole multirun
            raise SystemExit(code)

    try:
        with _command_line(arguments), _log_handlers_closed():
            hydra.main(config_path=str(conf_dir()), config_name=config_name, version_base="1.3")(job)()
        if len(folders) > 1:
            compare_jobs(folders)
    except SystemExit as stop:
        codes.append(stop.code if isinstance(stop.code, int) else 0)
    except (HydraException, OmegaConfBaseException) as error:
        raise _plain_error(error) from error
    except OSError as error:
        raise _cannot_write(error) from error
    finally:
        name_the_failed(jobs, codes)
    return next((code for code in codes if code), 0)


def _train(tree: DictConfig, folder: Path, full: bool) -> int:
    log = logging.getLogger("a2c")
    try:
        cfg = decided(_as_typed_at(Path(HydraConfig.get().runtime.cwd), _allowed(to_config(plain(tree)))))
    except A2CError as error:
        if not is_run(folder):
            discard_if_empty(folder, folder)
        return exit_code_of(error, full)
    secrets = Secrets.of(asdict(cfg))
    try:
        clean_multirun_record(secrets)
        with hidden_in_logs(secrets), claimed(cfg, folder):
            from a2c.api import train_in

            write_records(cfg, folder)
            log.info("training %s in %s", cfg.env.id, folder)
            try:
                summary = train_in(cfg, folder)  # after the checks: it imports torch
            except BaseException as error:
                log_failure(error)
                raise
            log.info("ended after %d steps, mean score %s", summary.env_steps, summary.eval_mean)
        return exit_code_of_stop(summary.stopped)
    except OSError as error:
        return exit_code_of(_cannot_write(error), full)
    except (Exception, KeyboardInterrupt) as error:  # what is no A2CError shows its traceback; other jobs go on
        secrets.hide_in(error)
        return exit_code_of(error, full)


def _as_typed_at(here: Path, cfg: Config) -> Config:
    """With ``hydra.job.chdir=true``: paths and modules are meant as seen from where the command was typed."""
    if Path.cwd() == here:
        return cfg
    if str(here) not in sys.path:
        sys.path.append(str(here))
    resume = cfg.resume if cfg.resume in (None, LATEST) else str(here / cfg.resume)
    return replace(cfg, runs_dir=str(here / cfg.runs_dir), resume=resume)


def _cannot_write(error: OSError) -> RunIOError:
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
