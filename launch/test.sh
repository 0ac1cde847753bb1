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
run() { "$python" -m pytest --rootdir="$root" -c "$root/pyproject.toml" --durations=15 "$@"; }
if [ "$#" -gt 0 ]; then
  run "$@"
  exit
fi

# Most of a test is tracing, which keeps one core busy, so two processes share the tests; a file's stay in one, where they
# share what they have traced. TensorFlow gives none of that back, so that processes which ran all tests would need 20 GB:
# each part has processes of its own.
parts=(conformance "transfers methods analysis" runs "engine commands campaigns")
rest=() failed=0
for part in "${parts[@]}"; do
  folders=()
  for folder in $part; do
    folders+=("$root/tests/$folder")
    rest+=("--ignore=$root/tests/$folder")
  done
  echo "tests of $part"
  run --numprocesses=2 --dist=loadfile "${folders[@]}" || failed=1
done
echo "all other tests"
run --numprocesses=2 --dist=loadfile "${rest[@]}" "$root/tests" || failed=1
exit "$failed"
