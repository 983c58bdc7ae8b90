#!/usr/bin/env bash
# Make static/vendor/ from .setup/vendor/: the pages' third-party parts, bundled. Needs Node.js with npm;
# nobody else does. With --update, resolve the versions anew first.
set -euo pipefail
cd "$(dirname "$0")/.."

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cp .setup/vendor/* "$work"
quiet=(--ignore-scripts --no-audit --no-fund --silent)
if [ "${1:-}" = --update ]; then
    rm -f "$work/package-lock.json"
    # Hashes, but no addresses: whoever runs this has a registry of their own.
    (cd "$work" && npm install "${quiet[@]}" --package-lock-only --omit-lockfile-registry-resolved)
    cp "$work/package-lock.json" .setup/vendor/
fi
(cd "$work" && npm ci "${quiet[@]}" && node build.mjs "$work/out")

foreign=$(grep -rlE "://registry\.|$work|$PWD|$HOME/" "$work/out" || true)
if [ -n "$foreign" ]; then
    echo "these name a registry or a folder of this machine: $foreign" >&2
    exit 1
fi
find static/vendor -mindepth 1 -delete
cp -R "$work/out/." static/vendor/
