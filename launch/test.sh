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
# The whole suite takes two processes, of up to 4 GB each: most of it is tracing, which keeps one core busy. A file's tests
# stay in one process, where they share what they have traced.
if [ "$#" -eq 0 ]; then set -- --numprocesses=2 --dist=loadfile; fi
"$python" -m pytest --rootdir="$root" -c "$root/pyproject.toml" --durations=15 "$@"
