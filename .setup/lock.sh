#!/usr/bin/env bash
# Resolve pyproject.toml's dependency groups into .setup/*.txt: versions and hashes, no address.
set -euo pipefail
cd "$(dirname "$0")/.."

tools=$(mktemp -d)
trap 'rm -rf "$tools"' EXIT
python3 -m venv "$tools" && "$tools/bin/pip" install --quiet uv

lock() { # group [constraints...]
    local group=$1
    shift
    env -u PIP_FIND_LINKS "$tools/bin/uv" pip compile --quiet --universal --python-version 3.11 \
        --generate-hashes --no-emit-index-url --no-header --group "$group" "$@" -o ".setup/$group.txt"
    echo "locked .setup/$group.txt"
}
lock server
lock cluster --constraint .setup/server.txt
lock kernels
lock dev --constraint .setup/server.txt
lock bench
lock client-langchain
lock client-autogen
lock client-backendai
