"""What is shipped: the wheel, the pinned packages, and make."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tomllib
import venv
import zipfile
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
PINS = dict(
    line.split("==") for line in (ROOT / "constraints.txt").read_text().split("\n") if line and not line.startswith("#")
)

needs_make = pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")


def shell(*command: str | Path, cwd: Path, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    clean = {key: value for key, value in os.environ.items() if not key.startswith(("MAKE", "MFLAGS", "PYTHONPATH"))}
    return subprocess.run(
        list(map(str, command)),
        cwd=cwd,
        env=clean | (env or {}),
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    source.mkdir()
    for name in ("src", "conf", "pyproject.toml", "README.md", "LICENSE"):
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, source / name)
    done = shell(sys.executable, "-m", "build", "--no-isolation", "--wheel", "--outdir", folder, cwd=source)
    assert done.returncode == 0, done.stdout + done.stderr
    (built,) = folder.glob("a2c-*.whl")
    return built


@pytest.mark.slow
def test_the_wheel_holds_the_package_and_every_config(wheel):
    names = set(zipfile.ZipFile(wheel).namelist())
    for path in [*(ROOT / "conf").rglob("*.yaml")]:
        assert f"a2c/conf/{path.relative_to(ROOT / 'conf')}" in names
    assert {"a2c/__init__.py", "a2c/py.typed", "a2c/cli/__init__.py", "a2c/study/report.html"} <= names
    assert {"a2c/run/showing/page.html", "a2c/run/showing/page.css", "a2c/sweeps/sweep.html"} <= names
    assert {name.split("/")[0].split("-")[0] for name in names} == {"a2c"}


@pytest.mark.slow
def test_the_wheel_works_elsewhere(wheel, tmp_path):
    venv.create(tmp_path / "venv", with_pip=False)
    (site,) = (tmp_path / "venv").glob("lib/python*/site-packages")
    zipfile.ZipFile(wheel).extractall(site)
    others = [path for path in sys.path if path.endswith("-packages")]  # what a2c needs, without a2c
    (site / "others.pth").write_text("\n".join(others) + "\n")
    program = "import sys; from a2c.cli import main; sys.exit(main())"
    python = tmp_path / "venv" / "bin" / "python"
    where = shell(python, "-c", "import a2c; print(a2c.__file__)", cwd=tmp_path)
    assert Path(where.stdout.strip()).parent == site / "a2c", where.stderr
    shown = shell(python, "-c", program, "train", "--cfg", "job", "env=pendulum", "n_step=9", cwd=tmp_path)
    assert "id: Pendulum-v1\n" in shown.stdout, shown.stderr
    assert "n_step: 9\n" in shown.stdout


def requirements() -> list[Requirement]:
    extras = [line for group in PROJECT["optional-dependencies"].values() for line in group]
    return [Requirement(line) for line in [*PROJECT["dependencies"], *extras]]


def test_an_extra_holds_what_gymnasium_imports_for_its_environments():
    from importlib.metadata import requires

    for ours, theirs in {"mujoco": "mujoco", "box2d": "box2d", "classic": "classic-control"}.items():
        listed = PROJECT["optional-dependencies"][ours] + PROJECT["dependencies"]
        have = {canonicalize_name(Requirement(line).name) for line in listed}
        for needed in map(Requirement, requires("gymnasium") or []):
            applies = needed.marker is not None and needed.marker.evaluate({"extra": theirs})
            if applies and not needed.marker.evaluate({"extra": ""}):
                assert canonicalize_name(needed.name) in have, f"a2c[{ours}] lacks {needed.name}"


def test_make_setup_installs_what_every_kind_of_environment_needs():
    groups = PROJECT["optional-dependencies"]
    (everything,) = map(Requirement, groups["all"])
    assert everything.extras == set(groups) - {"all", "peers", "dev", "envpool"}  # which takes 300 MB
    assert '".[all,dev]"' in (ROOT / "scripts" / "setup.sh").read_text()


def test_every_requirement_is_pinned_to_a_version_that_it_allows():
    for needed in requirements():
        if needed.name != "a2c":
            assert PINS[canonicalize_name(needed.name)] in needed.specifier, needed


def test_pins_are_exact_and_for_every_platform():
    for name, version in PINS.items():
        assert name == canonicalize_name(name)
        assert re.fullmatch(r"[0-9][0-9a-z.]*", version), (name, version)  # no +cpu or other local version
    assert list(PINS) == sorted(PINS)


def test_pins_hold_everything_that_pinned_packages_require():
    from importlib.metadata import PackageNotFoundError, distribution

    for name in PINS:
        try:
            needs = distribution(name).requires or []
        except PackageNotFoundError:
            continue
        for needed in map(Requirement, needs):
            applies = needed.marker is None or needed.marker.evaluate({"extra": ""})
            if applies and name != "torch":  # pins its CUDA packages itself
                assert canonicalize_name(needed.name) in PINS, f"{name} requires {needed}"


@pytest.fixture
def makefile(tmp_path) -> Path:
    """A copy of the Makefile with an environment whose a2c prints its arguments, one a line."""
    for name in ("Makefile", "pyproject.toml", "constraints.txt", "scripts"):
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, tmp_path / name)
    bin_folder = tmp_path / ".venv" / "bin"
    bin_folder.mkdir(parents=True)
    (bin_folder / "a2c").write_text('#!/usr/bin/env bash\nprintf \'%s\\n\' "$@" "env:${env-} seed:${seed-}"\n')
    (bin_folder / "a2c").chmod(0o755)
    (tmp_path / ".venv" / ".ready").write_text("")
    return tmp_path


@needs_make
def test_make_passes_on_what_was_typed_and_nothing_else(makefile):
    typed = [
        "env=pong",
        "n_step=20",
        "device=cuda",
        "name=it's",
        "env.id=my_pkg.my_env:My-v0",
        "network.hidden_sizes=[64, 64]",
        "wandb.group=$(HOME) $HOME `id`",
        "wandb.tags=['a b','c']",
    ]
    done = shell("make", "train", *typed, cwd=makefile, env={"seed": "7", "gamma": "0.5", "SHELL": "/bin/sh"})
    assert done.stderr == ""
    command, *arguments, seen = done.stdout.splitlines()
    assert command == "train"
    assert sorted(arguments) == sorted(typed)
    assert seen == "env: seed:7"  # what was typed is no environment variable of the run


@needs_make
def test_make_passes_on_options_in_args(makefile):
    done = shell("make", "train", "env=pong", "ARGS=-m seed=1,2,3", cwd=makefile)
    assert done.stdout.splitlines()[:-1] == ["train", "env=pong", "-m", "seed=1,2,3"]


@needs_make
@pytest.mark.parametrize("target", ["eval", "watch", "show", "compare"])
def test_make_reaches_the_other_commands(makefile, target):
    assert shell("make", target, "run=latest", cwd=makefile).stdout.splitlines()[:2] == [target, "run=latest"]


@needs_make
def test_make_passes_on_what_to_study(makefile):
    done = shell("make", "study", "claims=[lag,entropy]", "seeds=10", "scale=2", cwd=makefile)
    command, *arguments, _ = done.stdout.splitlines()
    assert (command, sorted(arguments)) == ("study", ["claims=[lag,entropy]", "scale=2", "seeds=10"])


@needs_make
def test_make_passes_on_the_exit_code(makefile):
    (makefile / ".venv" / "bin" / "a2c").write_text("#!/usr/bin/env bash\necho 'config error: x' >&2; exit 2\n")
    done = shell("make", "train", cwd=makefile)
    assert done.returncode == 2
    assert done.stderr.startswith("config error: x\n")


@needs_make
def test_make_help_explains_every_target(makefile):
    shown = shell("make", "help", cwd=makefile).stdout
    lines = re.findall(r"^\.PHONY: (.*)", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert lines
    for target in " ".join(lines).split():
        assert re.search(rf"^  {target} +\S", shown, re.MULTILINE), target


@needs_make
def test_set_up_is_repeated_only_when_its_sources_change(makefile):
    assert "setup.sh" not in shell("make", "-n", "train", cwd=makefile).stdout
    later = (makefile / ".venv" / ".ready").stat().st_mtime + 10
    os.utime(makefile / "constraints.txt", (later, later))
    assert "setup.sh" in shell("make", "-n", "train", cwd=makefile).stdout


@needs_make
def test_set_up_names_a_python_that_is_too_old(makefile):
    old = makefile / "old-python"
    old.write_text("#!/usr/bin/env bash\n[[ $1 == --version ]] && echo 'Python 3.8.1' && exit 0\nexit 1\n")
    old.chmod(0o755)
    done = shell("make", "setup", f"PYTHON={old}", f"VENV={makefile}/new", cwd=makefile)
    assert done.returncode != 0
    assert done.stderr.startswith("setup error: a2c needs Python 3.11 or newer, and ")
    assert "Python 3.8.1" in done.stderr


@needs_make
def test_set_up_does_not_touch_an_environment_of_someone_else(makefile):
    (makefile / "precious").mkdir()
    (makefile / "precious" / "file").write_text("")
    done = shell("make", "setup", f"PYTHON={sys.executable}", f"VENV={makefile}/precious", cwd=makefile)
    assert done.returncode != 0
    assert "was not made by make" in done.stderr
    assert (makefile / "precious" / "file").exists()
