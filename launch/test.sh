#!/usr/bin/env bash
# Lint, format, types, import and tests in the locked environment; arguments go to pytest:
#   launch/test.sh tests/losses -x
set -euo pipefail

root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)"
python="$root/.venv/bin/python"
export TF_CPP_MIN_LOG_LEVEL="${TF_CPP_MIN_LOG_LEVEL:-3}"

# Arguments may name files relative to the caller's folder, so pytest stays there if it is inside the repository.
case "$(pwd -P)/" in
  "$root"/*) ;;
  *) cd "$root" ;;
esac

bash "$root/launch/environment.sh"
"$python" -m ruff check "$root"
"$python" -m ruff format --check --quiet "$root" || { echo "test.sh: ruff format would change files; run it" >&2; exit 1; }
(cd "$root" && "$python" -m mypy)
"$python" -c 'import tfdistill'
"$python" -m pytest --rootdir="$root" -c "$root/pyproject.toml" --durations=15 "$@"
