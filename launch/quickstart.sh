#!/usr/bin/env bash
# From nothing to a prediction on a CPU in minutes: environment, a short training run, and the exported network asked.
# Arguments go to launch/train.py, after the flagfile and thus over it:
#   launch/quickstart.sh --epochs=2
# With `distill` it is a trained teacher and a small student, five times; arguments go to launch/table.py:
#   launch/quickstart.sh distill --seeds=1,2
set -euo pipefail

root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)"
python="$root/.venv/bin/python"
export TF_CPP_MIN_LOG_LEVEL="${TF_CPP_MIN_LOG_LEVEL:-3}"

bash "$root/launch/environment.sh"
cd "$root"
if [ "${1-}" = distill ]; then
  "$python" launch/table.py configs/distill_quickstart.toml --jobs=2 "${@:2}"
  run="$(basename "$(ls -dt runs/distill_quickstart-kd-*/ | head -n 1)")"
  "$python" launch/export.py --run="$run"
else
  run=quickstart
  "$python" launch/train.py --flagfile=configs/quickstart.flags "$@"
fi

for network in "saved_models/$run"/*/; do
  [ -d "$network" ] || { echo "quickstart.sh: no network was exported to saved_models/$run" >&2; exit 1; }
  "$python" launch/predict.py "$network"
done
