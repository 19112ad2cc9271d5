#!/usr/bin/env bash
# Makes a virtual environment and installs BasicSR, this plugin and all they need into it. `make demo` and `make test`
# call it once. By hand: scripts/install.sh [PYTHON [VENV]]
set -euo pipefail
cd "$(dirname "$0")/.."
python=${1:-python3}
venv=${2:-.venv}
say() { printf '\n== %s\n' "$*"; }

if ! "$python" -c 'import sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 13))'; then
    echo "install: expected Python 3.10 to 3.13, '$python' is $("$python" --version 2>&1)." >&2
    echo "Name another one: make PYTHON=python3.12 …" >&2
    exit 2
fi

say "virtual environment $venv ($("$python" --version))"
"$python" -m venv "$venv"
install() { "$venv/bin/python" -m pip install --constraint constraints.txt "$@"; }
"$venv/bin/python" -m pip install --upgrade 'pip>=25.3' 'setuptools>=77'

say 'torch (first, so that nothing below fetches it a second time)'
install torch torchvision

say "BasicSR, without build isolation: isolated, its build would fetch 3 GB of torch and throw it away"
# The folder on the path lets BasicSR's setup.py run on Python 3.13 and does nothing on older ones.
PYTHONPATH="$PWD/scripts/basicsr_build" install --no-build-isolation basicsr

say 'the plugin'
install --editable '.[test]'

if ! "$venv/bin/python" -c 'import cv2' 2>/dev/null; then
    say 'OpenCV cannot be imported (a machine without libGL): taking the build without windows instead'
    "$venv/bin/python" -m pip uninstall --yes opencv-python
    install opencv-python-headless
fi

say 'what cannot be patched at run time is repaired in the installed BasicSR (undo: cface doctor --undo)'
"$venv/bin/cface" doctor --repair
