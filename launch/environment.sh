#!/usr/bin/env bash
# Makes .venv in the repository's root: the exact versions of requirements.lock, and tfdistill itself (editable).
# A second call finds it finished and returns at once; an unfinished or outdated one is built anew.
# Run it, or let the other scripts here run it; then use .venv/bin/python.
set -euo pipefail

root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)"
venv="$root/.venv"
stamp="$venv/finished"

fail() {
  printf 'environment.sh: %s\n' "$*" >&2
  exit 1
}

# One hash of all that the environment depends on: its path too, as a moved virtual environment is a broken one.
fingerprint() {
  "$1" - "$root" <<'PY'
import hashlib, pathlib, sys
root = pathlib.Path(sys.argv[1])
parts = [sys.version.encode(), bytes(root), (root / "requirements.lock").read_bytes(), (root / "setup.py").read_bytes()]
print(hashlib.sha256(b"\0".join(parts)).hexdigest())
PY
}

is_finished() {
  [ -f "$stamp" ] && [ -x "$venv/bin/python" ] || return 1
  local now
  now="$(fingerprint "$venv/bin/python" 2>/dev/null)" || return 1
  [ "$now" = "$(cat "$stamp")" ]
}

# Newest first; plain python3 last, for systems that install no versioned name. What is on the path may still be
# a shim that runs nothing, so each one is asked.
find_python() {
  local name found="" version=""
  for name in python3.13 python3.12 python3.11 python3; do
    "$name" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' >/dev/null 2>&1 </dev/null || continue
    found="$name"
    if "$name" -c 'import ensurepip, venv' >/dev/null 2>&1 </dev/null; then
      command -v "$name"
      return
    fi
  done
  if [ -n "$found" ]; then
    version="$("$found" -c 'import sys; print("%d.%d" % sys.version_info[:2])')"
    fail "$found has no venv module with pip (on Debian or Ubuntu: apt-get install python${version}-venv)"
  fi
  fail "no Python 3.11, 3.12 or 3.13 on the path (python3 is $(python3 --version 2>/dev/null || echo missing)); install one of them"
}

build() {
  local python
  python="$(find_python)"
  printf 'environment.sh: building %s with %s (a minute or two)\n' "$venv" "$python" >&2
  rm -rf "$venv"
  "$python" -m venv "$venv" || fail "$python could not make a virtual environment in $venv"
  export PIP_DISABLE_PIP_VERSION_CHECK=1
  "$venv/bin/python" -m pip install --quiet -r "$root/requirements.lock" \
    || fail "requirements.lock could not be installed; pip says why above"
  # setuptools is in the lock: without isolation the build uses it, and fetches nothing more.
  "$venv/bin/python" -m pip install --quiet --no-deps --no-build-isolation -e "$root" \
    || fail "tfdistill could not be installed; pip says why above"
  # Last and by renaming, so that a stamp is there only when all before it is.
  fingerprint "$venv/bin/python" >"$stamp.part"
  mv "$stamp.part" "$stamp"
}

if ! is_finished; then
  # Two scripts started at once must not build into one folder: the second waits, then finds it finished.
  if command -v flock >/dev/null 2>&1; then
    exec 9>"$root/.venv.lock"
    flock 9
  fi
  is_finished || build
fi
