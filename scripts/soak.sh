#!/bin/bash
# The long proof that nothing is dropped: scripts/soak.sh [--quick] [PART...]
#
# Worker processes are killed, binaries upgraded and the shared memory damaged, while clients and
# backends check every byte (tests/soak/). Parts, all of them by default:
#
#   kills      200 deaths, 5,000 sessions, 1,000 new ones a second: pauses, too
#   storm      400 deaths, one upon the other
#   copy       kills and storm in a build that always copies, and in batches
#   stretch    the same in a build that waits where a death is worst, and batches all it can; its
#              pauses have no limit, and its storm has fewer new sessions, as it is slow
#   unix       50 deaths; UNIX sockets on either side
#   upgrades   100 upgrades of the binary
#   broken     22 upgrades to binaries that fail, each in its way
#   damage     100 times random damage to the shared memory, then a death
#
#   --quick    a tenth of all that, with 500 sessions
#
# Takes about half an hour. Prints a table; the exit status is 0 only when each part holds. What
# each part said is kept in build-logs/soak-PART.log.
set -uo pipefail
cd "$(dirname "$(readlink -f "$0")")/.." || exit 1
. scripts/lib.sh

usage() {
    sed -n '2,/^set/{/^#/s/^# \{0,1\}//p}' scripts/soak.sh
}

all=(kills storm copy stretch unix upgrades broken damage)
parts=()
divide=1
sessions=5000
rate=1000
for argument in "$@"; do
    case $argument in
    --quick) divide=10 sessions=500 rate=300 ;;
    -h | --help)
        usage
        exit 0
        ;;
    *)
        if [[ " ${all[*]} " != *" $argument "* ]]; then
            say "error: no such part: $argument" >&2
            usage >&2
            exit 64
        fi
        parts+=("$argument")
        ;;
    esac
done
[ ${#parts[@]} -gt 0 ] || parts=("${all[@]}")

export PYTHONDONTWRITEBYTECODE=1
logs=build-logs
mkdir -p "$logs"
table=$logs/soak.table
: >"$table"
failed=()

build() { # DIRECTORY [meson option]...
    { setup_build "$@" && ninja -C "$1"; } >"$logs/soak-$1.log" 2>&1 ||
        { tail -n 40 "$logs/soak-$1.log"; return 1; }
}

# part NAME DIRECTORY ROUNDS PROGRAM_PART [option]...
part() {
    local name=$1 directory=$2 rounds=$3 what=$4 status=0
    shift 4
    # So few deaths do not hit every moment of a session.
    [ "$divide" -eq 1 ] || set -- "$@" --need whole
    say "-- $name"
    /usr/bin/python3 tests/soak/soak.py "$what" --name "$name" --binary "$(binary_of "$directory")" \
        --rounds $((rounds / divide)) --sessions "$sessions" --rate "$rate" --table "$table" "$@" \
        >"$logs/soak-$name.log" 2>&1 </dev/null || status=$?
    tail -n 2 "$logs/soak-$name.log"
    [ $status -eq 0 ] || failed+=("$name")
}

begin=$SECONDS
build build || exit 1
for one in "${parts[@]}"; do
    case $one in
    kills) part kills build 200 kills --need whole,pipe,connecting ;;
    storm) part storm build 400 storm --need whole,buffer,pipe,chunk,connecting ;;
    copy)
        if build build-copy -Dcopy_only=true -Dbatch_always=true; then
            part copy build-copy 200 kills --need whole,chunk,connecting
            part copy-storm build-copy 400 storm --need whole,buffer,chunk,connecting
        else
            failed+=(copy)
        fi
        ;;
    stretch)
        if build build-stretch -Dstretch=true -Dbatch_always=true; then
            part stretch build-stretch 200 kills --slow --need whole,buffer,pipe,connecting
            rate=$((rate * 3 / 10)) part stretch-storm build-stretch 400 storm \
                --need whole,buffer,pipe,connecting,accepted
        else
            failed+=(stretch)
        fi
        ;;
    unix) part unix build 50 unix --need whole,pipe ;;
    upgrades) part upgrades build 100 upgrades --need whole ;;
    broken) part broken build $((divide > 1 ? 11 * divide : 22)) broken ;; # each way, twice
    damage) part damage build 100 damage ;;
    esac
done

say ""
/usr/bin/python3 tests/soak/soak.py title
cat "$table"
say ""
say "done in $((SECONDS - begin)) s"
if [ ${#failed[@]} -ne 0 ]; then
    say "failed: ${failed[*]}"
    exit 1
fi
