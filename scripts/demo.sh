#!/bin/bash
# Installs what the build needs (Debian 12), builds Loble, links ./loble and runs its demo.
# Arguments are passed on to `loble demo`; the exit status is the demo's.
set -euo pipefail
cd "$(dirname "$(readlink -f "$0")")/.."
. scripts/lib.sh

install_packages "${core_packages[@]}"

say "building Loble"
log=build/demo.log
mkdir -p build
if ! { setup_build build && ninja -C build src/main/loble; } >"$log" 2>&1; then
    tail -n 40 "$log" >&2
    say "error: the build failed; the whole log is in $log" >&2
    exit 1
fi
ln -sfn build/src/main/loble loble
say "built ./loble"
say ""

exec ./loble demo "$@"
