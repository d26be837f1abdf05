#!/bin/bash
# Lines of src/ that the unit and system tests run, by file. Fails under 90 %, or when a test fails.
set -uo pipefail
cd "$(dirname "$(readlink -f "$0")")/.." || exit 1
. scripts/lib.sh

minimum=90
status=0

# Counters of many threads, or some of them become negative.
setup_build build-cover -Db_coverage=true -Doptimization=0 \
    -Dc_args=-fprofile-update=atomic -Dcpp_args=-fprofile-update=atomic || exit 1
ninja -C build-cover || exit 1
find build-cover -name '*.gcda' -delete
meson test -C build-cover --no-rebuild --print-errorlogs --suite unit || status=1
LOBLE=$(binary_of build-cover) PYTHONDONTWRITEBYTECODE=1 /usr/bin/python3 -m pytest tests/system \
    -p no:cacheprovider -n "$(nproc)" -q -ra || status=1

gcovr --root . --object-directory build-cover --filter 'src/' \
    --exclude '.*(_test|_fuzz|/testing|/rig|/json_checker)\.[ch]$' --exclude-unreachable-branches --print-summary \
    --txt build-cover/coverage.txt --xml build-cover/coverage.xml \
    --fail-under-line "$minimum" build-cover || status=1
cat build-cover/coverage.txt
exit $status
