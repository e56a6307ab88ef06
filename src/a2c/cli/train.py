"""``a2c train``: Hydra composes, makes the run folder, and hands a plain config to the trainer."""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from a2c.cli.compare_runs import compare_jobs
from a2c.cli.exit_codes import exit_code_of, exit_code_of_stop, full_errors, log_failure
from a2c.cli.flags import parse_flags
from a2c.cli.help import train_help
from a2c.cli.hydra_call import call_hydra, cannot_write
from a2c.cli.launcher_choice import launcher_of, refuse_without_multirun
from a2c.cli.launching import launch
from a2c.cli.multirun import another_sweeper, jobs_to_check, name_the_failed
from a2c.cli.records import write_records
from a2c.cli.secrecy import clean_multirun_record, hidden_in_logs
from a2c.collecting.preflight import check_settings
from a2c.errors import A2CError, ConfigError
from a2c.machine.rank_place import place_here
from a2c.run.claiming import claimed
from a2c.settings.compose import compose_plain, launcher_settings, plain, prepare_training, to_config
from a2c.settings.config import Config
from a2c.settings.overrides import parse, quote
from a2c.settings.redaction import Secrets
from a2c.settings.sweep_guard import refuse_foreign_code
from a2c.storage.folders import AUTO, LATEST, discard_if_empty, is_run, run_of

Begun = Callable[[Path, bool], None]


def run(arguments: Sequence[str], begun: Begun = lambda folder, trains: None) -> int:
    """Train with the settings of the command line, with ``-m`` once per combination; returns the exit code.

    Args:
        arguments: of the command.
        begun: called with the folder of a run that is this process's own, and whether there is something left to train.
    """
    flags = parse_flags(arguments)
    if flags.help:
        print(train_help())
        return 0
    more = [flags.config_dir] if flags.config_dir else []
    overrides, configs, launcher = flags.overrides, [], None
    if not flags.shell_completion:
        shows = bool(flags.cfg or flags.info)
        if shows and flags.multirun:
            raise ConfigError("-m trains; leave it out to see the settings (--cfg) or how they come about (--info)")
        overrides = prepare_training(overrides, *more, trust=flags.trust)
        jobs = jobs_to_check(overrides) if flags.multirun else [overrides]
        trees = [compose_plain("config", job, *more) for job in jobs]
        # Another sweeper reads values in its own way: whether they fit shows when each job starts.
        unread = flags.multirun and another_sweeper(overrides)
        configs = [] if unread else [to_config(tree) for tree in trees]
        if flags.multirun:
            launcher = launcher_of(launcher_settings(jobs[0], *more), overrides, configs)
        elif not shows:
            refuse_without_multirun(overrides)
        for cfg in configs:
            _allow(cfg, here=launcher is None or launcher.local)
        if (place := place_here()) is not None and flags.multirun:
            raise ConfigError("-m starts one run after the other, and torchrun all ranks of one; leave out one of them")
        if place is not None and place.rank > 0 and shows:
            return 0  # one of them shows the settings
        if place is not None and place.rank > 0:  # the first rank makes the folder, and knows what to resume
            return _follow(configs[0])
        if place is not None and place.restarts and not configs[0].resume:
            overrides = [*overrides, "resume=auto"]
            configs = [replace(configs[0], resume=AUTO)]
        if any(cfg.resume == AUTO for cfg in configs) and launcher is None and not shows:
            if flags.multirun:
                raise ConfigError("resume=auto goes on with one run; leave out -m, or add hydra/launcher=cores")
            return _resume_auto(_decided(configs[0]), flags, overrides, begun)
        if not flags.multirun and configs[0].resume:
            overrides = [*_same_folder(configs[0], overrides), *overrides]
    hydra_arguments = _hydra_arguments(flags, overrides)
    with hidden_in_logs(Secrets.of(*map(asdict, configs))):  # a multirun's launcher logs what each job is told
        if launcher is not None:
            return launch(launcher, hydra_arguments, overrides, flags, trees[0]["runs_dir"])
        return run_hydra(hydra_arguments, "config", begun)


def _follow(cfg: Config) -> int:
    """Train as a rank that is not the first; returns the exit code."""
    from a2c.api import train_in  # imports torch

    secrets = Secrets.of(asdict(cfg))
    try:
        with hidden_in_logs(secrets):
            return exit_code_of_stop(train_in(cfg, Path(cfg.runs_dir)).stopped)
    except (Exception, KeyboardInterrupt) as error:
        secrets.hide_in(error)
        return exit_code_of(error, full_errors())


def _resume_auto(cfg: Config, flags: argparse.Namespace, overrides: Sequence[str], begun: Begun) -> int:
    """Go on with the newest unfinished run of these settings, or begin one; returns the exit code."""
    from a2c.api import let_others_go
    from a2c.run.auto_resume import chosen, said_of  # imports torch

    with chosen(cfg) as choice:
        if choice.folder is not None and choice.finished is not None:
            print(said_of(choice.folder, choice.finished))
            begun(choice.folder, False)
            let_others_go(cfg, choice.finished)
            return 0
        others = [text for text in overrides if parse(text)[1].key_or_group != "resume"]
        resume = "null" if choice.resume is None else quote(choice.resume)
        place = [] if choice.folder is None else _in_folder(choice.folder, overrides)
        return run_hydra(_hydra_arguments(flags, [*place, *others, f"resume={resume}"]), "config", begun)


def _allow(cfg: Config, *, here: bool = True) -> None:
    """Raise :class:`ConfigError` if settings import what they may not or, meant for this machine, cannot fit it."""
    refuse_foreign_code(cfg)
    if here:
        check_settings(cfg)


def _decided(cfg: Config) -> Config:
    from a2c.envs.look import decided  # imports gymnasium

    return decided(cfg)


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


def run_hydra(arguments: Sequence[str], config_name: str, begun: Begun = lambda folder, trains: None) -> int:
    """Let Hydra do what ``arguments`` ask, with ``conf/<config_name>.yaml``, and train in this process.

    Returns:
        The first exit code of a job that is not 0, or 0.

    Raises:
        ConfigError, RunIOError: as :func:`call_hydra`.
    """
    codes: list[int] = []
    jobs: list[list[str]] = []
    folders: list[Path] = []
    full = full_errors()  # read it before _command_line sets the variable for Hydra

    def job(tree: DictConfig) -> None:
        jobs.append(list(HydraConfig.get().overrides.task))
        folders.append(Path(HydraConfig.get().runtime.output_dir))
        code = _train(tree, folders[-1], full, begun)
        codes.append(code)
        if code >= 128:  # a signal ends a whole multirun
            raise SystemExit(code)

    try:
        call_hydra(arguments, config_name, job)
        if len(folders) > 1:
            compare_jobs(folders)
    except SystemExit as stop:
        codes.append(stop.code if isinstance(stop.code, int) else 0)
    finally:
        name_the_failed(jobs, codes)
    return next((code for code in codes if code), 0)


def _train(tree: DictConfig, folder: Path, full: bool, begun: Begun) -> int:
    log = logging.getLogger("a2c")
    try:
        cfg = to_config(plain(tree))
        _allow(cfg)
        cfg = _as_typed_at(Path(HydraConfig.get().runtime.cwd), cfg)
    except A2CError as error:
        if not is_run(folder):
            discard_if_empty(folder, folder)
        return exit_code_of(error, full)
    secrets = Secrets.of(asdict(cfg))
    try:
        clean_multirun_record(secrets)
        with hidden_in_logs(secrets), claimed(cfg, folder):
            from a2c.api import train_in

            cfg = _decided(cfg)
            write_records(cfg, folder)
            begun(folder, True)
            log.info("training %s in %s", cfg.env.id, folder)
            try:
                summary = train_in(cfg, folder)  # after the checks: it imports torch
            except BaseException as error:
                log_failure(error)
                raise
            log.info("ended after %d steps, mean score %s", summary.env_steps, summary.eval_mean)
        return exit_code_of_stop(summary.stopped)
    except OSError as error:
        return exit_code_of(cannot_write(error), full)
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
