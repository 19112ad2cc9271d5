#!/usr/bin/env bash
# One stage by BasicSR on several processes: scripts/dist_train.sh 4 options/cface_stage1.yml [--auto_resume …]
# One process a GPU; without a GPU the processes talk by gloo. Another port: PORT=29501 scripts/dist_train.sh …
set -euo pipefail
[ $# -ge 2 ] || { echo 'usage: scripts/dist_train.sh PROCESSES OPTION_FILE [arguments of basicsr/train.py]' >&2; exit 2; }
processes=$1
shift
exec "${PYTHON:-python}" -m torch.distributed.run --nproc_per_node="$processes" --master_port="${PORT:-29500}" \
    -m cface_basicsr.train --launcher pytorch -opt "$@"
