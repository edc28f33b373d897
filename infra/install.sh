#!/usr/bin/env bash
# Makes .venv from the locked requirements; does nothing when that has been done. Run by `make install`.
#
# Needs Python 3.11 or newer and a package index that pip can reach. Safe to interrupt at any moment
# (the stamp is written last) and to start twice at once (the second waits).
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

readonly venv=.venv
readonly stamp=$venv/.installed
readonly place=$venv/.checkout
readonly python=$venv/bin/python
export PIP_DISABLE_PIP_VERSION_CHECK=1

say() { printf 'install: %s\n' "$*" >&2; }

# What the environment is made of.
key() {
    cat requirements-bootstrap.lock requirements.lock pyproject.toml infra/install.sh | cksum
}

# Scripts in .venv/bin carry the path of the checkout: once moved or copied, it must be made anew.
made_here() { [[ -f $place && $(<"$place") == "$(pwd -P)" ]]; }

if [[ ! -f infra/install.sh ]]; then
    say "run it from a complete checkout"; exit 1
fi

done_already() { made_here && [[ -x $python && -f $stamp && $(<"$stamp") == "$(key)" ]]; }

find_python() {
    local candidate
    for candidate in "${PYTHON:-}" python3.11 python3.12 python3.13 python3; do
        [[ -n $candidate ]] || continue
        # Being on the PATH is not enough: version managers leave stubs there that only complain.
        if "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; then
            printf '%s\n' "$candidate"
            return
        fi
    done
    say "no Python 3.11 or newer found (tried ${PYTHON:+$PYTHON, }python3.11, python3.12, python3.13, python3)."
    say "install one (Debian, Ubuntu: apt install python3 python3-venv), or name it: make install PYTHON=/path/to/python3"
    exit 1
}

make_venv() {
    local base=$1
    if made_here && [[ -x $python ]] && "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
        # Kept if it works: what is installed already is not fetched again.
        "$python" -m pip --version >/dev/null 2>&1 && return
        "$python" -m ensurepip >/dev/null 2>&1 && return
    fi
    say "making $venv with $("$base" --version)"
    if ! "$base" -m venv --clear "$venv"; then
        say "$base cannot make virtual environments (Debian, Ubuntu: apt install python3-venv)."
        exit 1
    fi
    pwd -P >"$place"
}

pip_install() { "$python" -m pip install --quiet --quiet --no-deps "$@" 2>"$venv/pip.log"; }

# What pip says when it had no answer from an index: it found no version at all.
no_index() { grep -q 'from versions: none' "$venv/pip.log"; }

give_up() {
    sed 's/^/install:   pip: /' "$venv/pip.log" | tail -n 5 >&2
    if no_index; then
        say "no package index reachable; check the network or pip's configuration"
    else
        say "pip failed, see above; what is installed so far is kept for the next attempt"
    fi
    exit 1
}

install_locked() {
    local started=$SECONDS log=$venv/uv.log
    : >"$log"
    say "installing $(grep -c '==' requirements.lock) locked packages; the first time downloads some 250 MB"
    # pip is sure to reach the index it is configured for, uv is fast; both check every hash.
    if ! pip_install --require-hashes -r requirements-bootstrap.lock; then
        if no_index; then
            give_up
        fi
        say "pip could not install uv; pip takes over, which takes some minutes"
        sed 's/^/install:   pip: /' "$venv/pip.log" | tail -n 5 >&2
        pip_install --require-hashes -r requirements.lock || give_up
    elif ! "$python" -m uv pip install --quiet --quiet --python "$python" --no-deps --require-hashes \
        -r requirements.lock 2>"$log"; then
        say "uv could not (it does not read pip's configuration); pip takes over, which takes some minutes"
        sed 's/^/install:   uv: /' "$log" | tail -n 5 >&2
        pip_install --require-hashes -r requirements.lock || give_up
    fi
    pip_install --no-build-isolation --editable . || give_up
    say "done in $((SECONDS - started)) s"
}

if done_already; then
    exit 0
fi
base=$(find_python)
if command -v flock >/dev/null 2>&1; then
    mkdir -p .cache
    exec 9>.cache/install.lock
    flock 9
    if done_already; then
        exit 0
    fi
fi
rm -f "$stamp"
make_venv "$base"
install_locked
key >"$stamp.new"
mv "$stamp.new" "$stamp"
