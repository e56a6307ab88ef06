#!/usr/bin/env bash
# setup.sh PYTHON VENV: make a virtual environment with a2c and everything it uses, at pinned versions.
# A torch that PYTHON already has (2.8 or newer) is used as it is: it fits the machine's GPU and driver.
set -euo pipefail
python=$1 venv=$2

if ! "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
    echo "setup error: a2c needs Python 3.11 or newer, and '$python' is $("$python" --version 2>&1 || true);" \
        "name another: make PYTHON=python3.12" >&2
    exit 2
fi
if ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
    echo "setup error: '$python' cannot make virtual environments; on Debian and Ubuntu: apt install python3-venv" >&2
    exit 2
fi

torch=$("$python" - <<'PY' 2>/dev/null || true
import torch
if tuple(int(part) for part in torch.__version__.split("+")[0].split(".")[:2]) >= (2, 8):
    print(torch.__version__)
PY
)

pip() { PIP_DISABLE_PIP_VERSION_CHECK=1 "$venv/bin/python" -m pip --quiet "$@"; }

if [[ -e $venv && ! -e $venv/made-by-a2c ]]; then
    echo "setup error: $venv is there already and was not made by make; remove it, or name another: make VENV=..." >&2
    exit 2
fi
if [[ -n $torch ]]; then
    { grep -v '^torch==' constraints.txt; echo "torch==$torch"; } >"$venv.constraints"
else
    cp constraints.txt "$venv.constraints"
fi
if ! "$venv/bin/python" -c '' 2>/dev/null; then # else it is brought up to date, which is quicker
    rm -rf "$venv"
    mkdir -p "$venv"
    touch "$venv/made-by-a2c"
    if [[ -n $torch ]]; then
        echo "setup: $venv with the torch $torch that $python has"
        "$python" -m venv --system-site-packages "$venv"
        # Where PYTHON is in a virtual environment itself, its packages are not the system's: show them too.
        "$venv/bin/python" -c 'import torch' 2>/dev/null ||
            "$python" -c 'import pathlib, torch; print(pathlib.Path(torch.__file__).parent.parent)' \
                >"$("$venv/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/torch-found.pth"
    else
        echo "setup: $venv with $("$python" --version); torch is large, this takes some minutes"
        "$python" -m venv "$venv"
    fi
fi
mv "$venv.constraints" "$venv/constraints.txt"
echo "setup: installing (1/2) torch"
pip install -c "$venv/constraints.txt" torch hatchling editables
echo "setup: installing (2/2) everything else"
# The build backend is the pinned one of the line before, not whatever is newest.
pip install -c "$venv/constraints.txt" --no-build-isolation -e ".[all,dev]"
echo "setup: done"
