#!/usr/bin/env bash
# Makes the bridge's own environment, .cache/iso15118-venv, from requirements.lock; quick when done.
#
# Needs Python 3.11 to 3.13 and a package index that pip can reach. The bridge itself needs a Java
# runtime, which this does not install. Exit 0; 2 when the environment cannot be made, saying why.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

readonly lock=iso15118_bridge/requirements.lock
readonly venv=.cache/iso15118-venv
readonly stamp=$venv/.installed
export PIP_DISABLE_PIP_VERSION_CHECK=1

say() { printf 'iso15118_bridge/install: %s\n' "$*" >&2; }

# Moved or copied, the environment must be made anew: its scripts carry the path.
key() { { cat "$lock"; pwd -P; } | cksum; }

done_already() { [[ -x $venv/bin/python && -f $stamp && $(<"$stamp") == "$(key)" ]]; }

find_python() {
    local candidate
    for candidate in "${PYTHON:-}" .venv/bin/python python3.11 python3.12 python3.13 python3; do
        [[ -n $candidate ]] || continue
        # pydantic 1.10 ends with Python 3.13.
        if "$candidate" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' >/dev/null 2>&1; then
            printf '%s\n' "$candidate"
            return
        fi
    done
    say "no Python 3.11 to 3.13 found; name one: PYTHON=/path/to/python3.11 iso15118_bridge/install.sh"
    exit 2
}

if done_already; then
    exit 0
fi
mkdir -p .cache
if command -v flock >/dev/null 2>&1; then
    exec 9>.cache/iso15118-install.lock
    flock 9
    if done_already; then
        exit 0
    fi
fi
base=$(find_python)
rm -rf "$venv"
if ! "$base" -m venv "$venv"; then
    say "$base cannot make virtual environments (Debian, Ubuntu: apt install python3-venv)."
    exit 2
fi
log=$venv/pip.log
if ! "$venv/bin/python" -m pip install --quiet --no-deps --require-hashes -r "$lock" 2>"$log"; then
    sed 's/^/iso15118_bridge\/install:   pip: /' "$log" | tail -n 5 >&2
    if grep -q 'from versions: none' "$log"; then
        say "no package index reachable; check the network or pip's configuration"
    fi
    exit 2
fi
key >"$stamp.new"
mv "$stamp.new" "$stamp"
