from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from trainings import Trainings


@pytest.fixture
def trainings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Trainings:
    """In a folder of its own, trainings that only leave a run folder."""
    from trainings import Trainings  # it needs the extra a2c[sweep]

    monkeypatch.chdir(tmp_path)
    made = Trainings()
    monkeypatch.setattr("a2c.sweeps.trial_runs.train", made.train)
    return made
