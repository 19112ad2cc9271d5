#!/usr/bin/env bash
# One stage by BasicSR: scripts/train.sh options/cface_stage1.yml [--auto_resume …]
set -euo pipefail
[ $# -ge 1 ] || { echo 'usage: scripts/train.sh OPTION_FILE [arguments of basicsr/train.py]' >&2; exit 2; }
exec "${PYTHON:-python}" -m cface_basicsr.train -opt "$@"
