#!/bin/bash
# Runs one fuzz target from the corpus in the tree: scripts/fuzz.sh TARGET [SECONDS]
#
#   --build   only builds all targets (build-fuzz/)
#   --list    their names
#
# What it finds stays in build-fuzz/found/: new inputs in TARGET/, crashes beside it.
set -euo pipefail
cd "$(dirname "$(readlink -f "$0")")/.."
. scripts/lib.sh

targets() {
    local file
    for file in src/*/*_fuzz.c; do
        if [ -e "$file" ]; then
            basename "$file" _fuzz.c
        fi
    done
}

build() {
    CC=clang CXX=clang++ setup_build build-fuzz -Dfuzz=true -Dtests=disabled \
        -Db_sanitize=address,undefined -Db_lundef=false
    ninja -C build-fuzz
}

case ${1:-} in
--build)
    build
    exit
    ;;
--list)
    targets
    exit
    ;;
esac

target=${1:-}
seconds=${2:-60}
if ! targets | grep -xF -- "$target" >/dev/null; then # -q would end targets by SIGPIPE
    say "error: no fuzz target '$target'; there are: $(targets | tr '\n' ' ')" >&2
    exit 64
fi
build >/dev/null

program=$(find build-fuzz/src -name "${target}_fuzz" -type f -perm -u+x)
found=build-fuzz/found
mkdir -p "$found/$target"
corpus=("$found/$target")
if [ -d "tests/corpus/$target" ]; then
    corpus+=("tests/corpus/$target")
fi
options=()
if [ -f "tests/corpus/$target.dict" ]; then
    options+=("-dict=tests/corpus/$target.dict")
fi
say "fuzzing $target for $seconds s"
UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1 "$program" "${options[@]}" -max_total_time="$seconds" \
    -timeout=10 -rss_limit_mb=2048 -print_final_stats=1 -artifact_prefix="$found/$target-" \
    "${corpus[@]}"
