"""What a run was told in confidence stays out of its logs, its errors and what Hydra writes beside it."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import OmegaConf

from a2c.cli.records import without_secrets
from a2c.settings.redaction import Secrets
from a2c.storage.atomic import write_text

MULTIRUN = "multirun.yaml"  # Hydra's record of a whole multirun, in hydra.sweep.dir


@contextlib.contextmanager
def hidden_in_logs(secrets: Secrets) -> Iterator[None]:
    """Within the block no record of any logger holds one of the secrets, nor does its traceback."""
    make = logging.getLogRecordFactory()

    def make_without(*args: Any, **kwargs: Any) -> logging.LogRecord:
        record = make(*args, **kwargs)
        with contextlib.suppress(Exception):  # arguments that do not fit: logging itself reports them
            record.msg, record.args = secrets.hide(record.getMessage()), ()
            if record.exc_info:
                record.exc_text = secrets.hide(logging.Formatter().formatException(record.exc_info))
        return record

    logging.setLogRecordFactory(make_without)
    try:
        yield
    finally:
        logging.setLogRecordFactory(make)


def clean_multirun_record(secrets: Secrets) -> None:
    """Take the secrets out of ``multirun.yaml``, which Hydra has written before the first job of a multirun."""
    hydra = HydraConfig.get()
    path = Path(hydra.runtime.cwd) / hydra.sweep.dir / MULTIRUN
    if hydra.mode is RunMode.MULTIRUN and path.is_file():
        write_text(path, secrets.hide(OmegaConf.to_yaml(without_secrets(OmegaConf.load(path)))))
