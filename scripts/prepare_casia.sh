#!/usr/bin/env bash
# CASIA-WebFace (or any <identity>/<image> folder) for training at x2, x4, x8:
#   scripts/prepare_casia.sh SRC [OUT] [further options of `cface prepare`]
set -euo pipefail
[ $# -ge 1 ] || { echo 'usage: scripts/prepare_casia.sh SRC [OUT] [options of cface prepare]' >&2; exit 2; }
source_folder=$1; shift
out=datasets/casia
if [ $# -ge 1 ] && [ "${1#-}" = "$1" ]; then out=$1; shift; fi
exec "${PYTHON:-python}" -m cface_basicsr prepare --layout casia "$source_folder" --out "$out" \
  --scale 2 4 8 --crop center "$@"
