#!/bin/bash
# Installs what the tests need (Debian 12) and runs all of them: two compilers, unit tests, lints,
# system tests, sanitizers, fuzz targets.
#
#   --quick   one build, its unit tests and lints, and the short system tests: under 2 minutes
#   --all     also the long system tests, longer fuzzing and the coverage gate
#   --paths   instead: the system tests in a build that batches each message, and in one that copies
#             all bytes with system calls of their own
#
# A step that fails does not stop the others. The last line counts all tests, and the exit status is
# 0 only when nothing failed. Logs are kept in build-logs/.
set -uo pipefail
cd "$(dirname "$(readlink -f "$0")")/.." || exit 1
. scripts/lib.sh

usage() {
    sed -n '2,/^set/{/^#/s/^# \{0,1\}//p}' scripts/test.sh
}

mode=normal
for argument in "$@"; do
    case $argument in
    --quick) mode=quick ;;
    --all) mode=all ;;
    --paths) mode=paths ;;
    -h | --help)
        usage
        exit 0
        ;;
    *)
        say "error: unknown option $argument" >&2
        usage >&2
        exit 64
        ;;
    esac
done

# Own settings of whoever calls must not change what is built or how tests report.
unset CC CXX CFLAGS CXXFLAGS LDFLAGS PYTEST_ADDOPTS MESON_TESTTHREADS LOBLE
export PYTHONDONTWRITEBYTECODE=1
export LC_ALL=C.UTF-8

jobs=$(nproc)
logs=build-logs
rm -rf "$logs"
mkdir -p "$logs"
passed=0
failed=0
skipped=0
failed_steps=()

# step NAME COUNTS COMMAND...: runs the command with its output in a log. COUNTS is a file of results
# (JUnit of pytest, JSON of meson) that it writes, or "-" when the step is one test in itself.
step() {
    local name=$1 counts=$2 status=0 begin=$SECONDS p=0 f=0 s=0 log
    shift 2
    log=$logs/$name.log
    say "-- $name"
    "$@" >"$log" 2>&1 </dev/null || status=$?

    if [ "$counts" = - ]; then
        if [ $status -eq 0 ]; then p=1; fi
    elif ! read -r p f s < <(/usr/bin/python3 tools/count_tests.py "$counts" 2>>"$log"); then
        p=0 f=0 s=0
        if [ $status -eq 0 ]; then status=1; fi
        say "no results in $counts" >>"$log"
    fi
    # Whatever made the command fail counts, also when no single test did.
    if [ $status -ne 0 ] && [ "$f" -eq 0 ]; then f=1; fi
    if [ $status -eq 0 ] && [ "$f" -ne 0 ]; then status=1; fi

    passed=$((passed + p)) failed=$((failed + f)) skipped=$((skipped + s))
    if [ $status -eq 0 ]; then
        say "   ok, $((SECONDS - begin)) s, $p passed, $s skipped"
        return 0
    fi
    failed_steps+=("$name")
    say "   FAILED, $((SECONDS - begin)) s, $p passed, $f failed, $s skipped; the end of $log:"
    grep -E '^(FAILED|ERROR) |^not ok|error:|ERROR: |SUMMARY: ' "$log" | head -n 20 | sed 's/^/   | /'
    tail -n 40 "$log" | sed 's/^/   | /'
    return 1
}

build() { # DIRECTORY [meson option]...
    local directory=$1
    setup_build "$@" && ninja -C "$directory" -j "$jobs"
}

meson_tests() { # DIRECTORY LOGBASE [meson test option]...
    local directory=$1 logbase=$2
    shift 2
    rm -f "$directory/meson-logs/$logbase".*
    meson test -C "$directory" --no-rebuild --print-errorlogs --logbase "$logbase" "$@"
}

simulate() { # STEPS
    STEPS=$1 meson_tests build sim --suite sim -t 4
}

system_tests() { # DIRECTORY NAME [pytest option]...
    local directory=$1 name=$2
    shift 2
    rm -f "$logs/$name.xml"
    LOBLE=$(binary_of "$directory") LOBLE_ALTERNATE=$(binary_of build-alternate) /usr/bin/python3 -m pytest tests/system -p no:cacheprovider \
        -n "$jobs" --durations 10 -ra --junitxml "$logs/$name.xml" "$@"
}

# Reports of a sanitizer go to files of their own: one fails the step, also when the test that caused
# it did not look at the exit status.
sanitized() ( # NAME COMMAND...
    name=$1 status=0
    shift
    # Frames are several times as large: a test of the deepest recursion takes more than 8 MiB.
    ulimit -S -s 65536 || exit 1
    reports=$PWD/$logs/reports-$name
    rm -rf "$reports"
    mkdir -p "$reports"
    ASAN_OPTIONS="log_path=$reports/asan:detect_stack_use_after_return=1:strict_string_checks=1" \
    UBSAN_OPTIONS="log_path=$reports/ubsan:halt_on_error=1:print_stacktrace=1" \
    LSAN_OPTIONS="suppressions=$PWD/tests/sanitizers/lsan.supp:print_suppressions=0" \
    TSAN_OPTIONS="log_path=$reports/tsan:suppressions=$PWD/tests/sanitizers/tsan.supp:print_suppressions=0:second_deadlock_stack=1" \
        "$@" || status=$?
    if [ -n "$(ls -A "$reports")" ]; then
        say "reports of the sanitizer:"
        head -n 60 "$reports"/*
        status=1
    fi
    exit $status
)

# One file at a time, as run-clang-tidy does it: given several at once, version 14 sees ghosts.
clang_tidy() {
    run-clang-tidy -quiet -p build-clang -j "$jobs" | sed 's/\x1b\[[0-9;]*m//g'
}

fuzz_all() { # SECONDS
    local seconds=$1 target status=0 count=0
    while read -r target; do
        scripts/fuzz.sh "$target" "$seconds" || status=1
        count=$((count + 1))
    done < <(scripts/fuzz.sh --list)
    [ $count -gt 0 ] || status=1
    return $status
}

begin=$SECONDS
step packages - install_packages "${core_packages[@]}" "${test_packages[@]}"

if step build-gcc - env CC=gcc CXX=g++ bash -c '. scripts/lib.sh; setup_build build && ninja -C build'; then
    step unit-gcc build/meson-logs/unit.json meson_tests build unit --suite unit
    step lint build/meson-logs/lint.json meson_tests build lint --suite lint
    case $mode in
    normal) step sim build/meson-logs/sim.json simulate 1000000 ;;
    all) step sim build/meson-logs/sim.json simulate 20000000 ;;
    esac
    # The other side of an upgrade between two record versions.
    if step build-alternate - build build-alternate -Drecord_layout=alternate; then
        step unit-alternate build-alternate/meson-logs/unit.json \
            meson_tests build-alternate unit --suite model
    fi
    case $mode in
    quick) step system-short "$logs/short.xml" system_tests build short -m asan ;;
    normal) step system "$logs/system.xml" system_tests build system ;;
    all) step system "$logs/system.xml" system_tests build system --all ;;
    esac
    # The rules of TCP hold on every path.
    if [ $mode = paths ]; then
        if step build-batch - build build-batch -Dbatch_always=true; then
            step system-batch "$logs/batch.xml" system_tests build-batch batch
        fi
        if step build-plain - build build-plain -Dcopy_only=true -Dio_uring=disabled; then
            step system-plain "$logs/plain.xml" system_tests build-plain plain
        fi
    fi
fi

if [ $mode = normal ] || [ $mode = all ]; then
    if step build-clang - env CC=clang CXX=clang++ \
        bash -c '. scripts/lib.sh; setup_build build-clang && ninja -C build-clang'; then
        step unit-clang build-clang/meson-logs/unit.json meson_tests build-clang unit --suite unit
        step clang-tidy - clang_tidy
    fi

    # Here each small message goes by way of a batch: the rules of TCP hold on that path, too.
    if step build-asan - build build-asan -Db_sanitize=address,undefined -Db_lundef=false \
        -Dbatch_always=true; then
        step unit-asan build-asan/meson-logs/unit.json \
            sanitized unit-asan meson_tests build-asan unit --suite unit -t 3
        step system-asan "$logs/asan.xml" \
            sanitized system-asan system_tests build-asan asan -m asan
    fi

    if step build-tsan - build build-tsan -Db_sanitize=thread -Db_lundef=false; then
        step unit-tsan build-tsan/meson-logs/unit.json \
            sanitized unit-tsan meson_tests build-tsan unit --suite unit -t 3
        step system-tsan "$logs/tsan.xml" \
            sanitized system-tsan system_tests build-tsan tsan -m tsan
    fi

    if step build-fuzz - scripts/fuzz.sh --build; then
        if [ $mode = all ]; then
            step fuzz - fuzz_all 60
        else
            step fuzz - fuzz_all 10
        fi
    fi

    if [ $mode = all ]; then
        step cover - scripts/cover.sh
    fi
fi

say "-- done in $((SECONDS - begin)) s, $skipped skipped"
if [ ${#failed_steps[@]} -ne 0 ]; then
    say "failed steps: ${failed_steps[*]}"
fi
say "$passed passed, $failed failed"
[ "$failed" -eq 0 ] && [ ${#failed_steps[@]} -eq 0 ]
