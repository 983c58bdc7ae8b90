#!/usr/bin/env bash
# Bring a fresh machine to where the server (and, on request, its tests) can run.
#
#   .setup/setup.sh run     bubblewrap, the server's and the kernels' environments, the database
#   .setup/setup.sh test    the same, development tools, a browser, and the clients to test with
#   .setup/setup.sh lint    the server's environment and the development tools
#   .setup/setup.sh bench   what run needs, a browser, the development tools, and Jupyter Server to compare with
#
# Every step is skipped when its result is there already, so a second call takes no time.
set -euo pipefail
cd "$(dirname "$0")/.."
umask 022

step() { printf '\033[1m==>\033[0m %s\n' "$*"; }
fail() { printf 'workbench: %s\n' "$*" >&2; exit 1; }

find_python() {
    local candidate
    for candidate in "${PYTHON:-}" python3 python3.13 python3.12 python3.11; do
        [ -n "$candidate" ] || continue
        if "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            echo "$candidate"
            return
        fi
    done
    fail "Python 3.11 or newer is needed. Install it, or name it: make run PYTHON=/path/to/python3"
}

debian_packages() { # command:package ...
    local missing=() pair
    for pair in "$@"; do
        command -v "${pair%%:*}" >/dev/null 2>&1 || missing+=("${pair#*:}")
    done
    [ ${#missing[@]} -gt 0 ] || return 0
    local install="apt-get install -y --no-install-recommends ${missing[*]}"
    if ! command -v apt-get >/dev/null 2>&1; then
        fail "please install these with your system's package manager: ${missing[*]}"
    elif [ "$(id -u)" -eq 0 ]; then
        step "Installing ${missing[*]} (Debian packages)"
        export DEBIAN_FRONTEND=noninteractive
        apt-get update -qq && $install -qq >/dev/null
    elif sudo -n true 2>/dev/null; then
        step "Installing ${missing[*]} (Debian packages, with sudo)"
        sudo apt-get update -qq && sudo DEBIAN_FRONTEND=noninteractive $install -qq >/dev/null
    else
        fail "these system packages are missing; run once: sudo $install"
    fi
}

# A lock's checksum is kept beside what was installed from it: each is installed once.
environment() { # folder lock...
    local folder=$1 lock wanted
    shift
    for lock in "$@"; do
        wanted=$(sha256sum <".setup/$lock.txt")
        [ "$(cat "$folder/.locks/$lock" 2>/dev/null)" != "$wanted" ] || continue
        step "Installing $lock into $folder"
        [ -x "$folder/bin/python" ] || "$python" -m venv "$folder" ||
            fail "python3 -m venv failed; on Debian and Ubuntu: apt-get install python3-venv"
        "$folder/bin/python" -m pip install --quiet --disable-pip-version-check \
            --no-warn-script-location --require-hashes --requirement ".setup/$lock.txt"
        mkdir -p "$folder/.locks"
        echo "$wanted" >"$folder/.locks/$lock"
    done
}

kernels() {
    environment .venv-kernels kernels
    local spec=.venv-kernels/share/jupyter/kernels/python3/kernel.json
    local prepared=.venv-kernels/share/workbench
    # The full path of the environment's Python, so that any server can start it.
    grep -qs "$PWD/.venv-kernels/bin/python" "$spec" ||
        .venv-kernels/bin/python -m ipykernel install --sys-prefix >/dev/null
    [ -e .venv-kernels/share/jupyter/kernels/bash/kernel.json ] ||
        .venv-kernels/bin/python -m bash_kernel.install --sys-prefix >/dev/null
    # Every session would spend a second on this list.
    compgen -G "$prepared/matplotlib/fontlist-*.json" >/dev/null ||
        MPLCONFIGDIR=$prepared/matplotlib .venv-kernels/bin/python -c "import matplotlib.font_manager"
    # And two on reading the descriptions of Python's own types, before it completes a first name; and
    # so would every zygote. They are found by their paths: those of another place never are.
    if [ "$(cat "$prepared/jedi/place" 2>/dev/null)" != "$PWD" ]; then
        rm -rf "$prepared/jedi"
        XDG_CACHE_HOME=$PWD/$prepared .venv-kernels/bin/python -c \
            "import jedi; [jedi.Interpreter(code, [{'text': ''}]).complete() for code in ('text.spl', 'import os; os.pat')]"
        echo "$PWD" >"$prepared/jedi/place"
    fi
}

clients() {
    environment .venv-clients/langchain client-langchain
    environment .venv-clients/autogen client-autogen
    environment .venv-clients/backendai client-backendai
}

# Several steps at once: each waits for the network now and then, and keeps one processor busy.
together() { # command...
    local steps=() command each failed=
    set -m # their own process groups; an interrupt reaches them through ours
    for command in "$@"; do
        $command </dev/null &
        steps+=($!)
    done
    set +m
    trap 'kill -- "${steps[@]/#/-}" 2>/dev/null; exit 130' INT TERM
    for each in "${steps[@]}"; do wait "$each" || failed=1; done
    trap - INT TERM
    [ -z "$failed" ] || exit 1
}

python=$(find_python)
case "${1:-run}" in
run)
    server=server
    [ "${WORKBENCH_ENGINE:-}" != ray ] || server="server cluster"
    together "debian_packages bwrap:bubblewrap" "environment .venv $server" kernels
    ;;
test)
    packages="bwrap:bubblewrap chromium:chromium curl:curl node:nodejs pg_lsclusters:postgresql"
    packages+=" redis-server:redis-server ip:iproute2"
    together "debian_packages $packages" "environment .venv server cluster dev" kernels clients
    ;;
lint)
    environment .venv server cluster dev
    ;;
bench)
    together "debian_packages bwrap:bubblewrap chromium:chromium" "environment .venv server dev" \
        kernels "environment .venv-bench bench"
    ;;
*)
    fail "usage: .setup/setup.sh run|test|lint|bench"
    ;;
esac
