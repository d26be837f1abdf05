# Shared by demo.sh, test.sh and make bench; sourced by bash, from the root of the tree.
# shellcheck shell=bash

# What the build needs: compiler, meson and the libraries.
core_packages=(
    build-essential meson ninja-build pkg-config
    liburcu-dev libtomlplusplus-dev libmicrohttpd-dev libjansson-dev libsystemd-dev liburing-dev
)

# What the tests need on top of it.
test_packages=(
    libcmocka-dev clang clang-format clang-tidy libclang-rt-14-dev llvm gcovr mandoc systemd
    python3 python3-pytest python3-pytest-timeout python3-pytest-xdist python3-jsonschema
    prometheus haproxy nginx libnginx-mod-stream redis-server redis-tools postgresql
    openssl openssh-server openssh-client socat curl wrk iproute2 procps strace
)

# What the benchmark compares with, and looks at proxies with.
bench_packages=(
    haproxy nginx libnginx-mod-stream pen strace python3 util-linux
)

say() {
    printf '%s\n' "$*"
}

as_root() {
    if [ "$(id -u)" -eq 0 ]; then
        "$@"
    elif command -v sudo >/dev/null; then
        sudo "$@"
    else
        say "error: installing packages needs root, and there is no sudo" >&2
        return 1
    fi
}

# Prints those of its arguments that are not installed.
missing_packages() {
    local package
    for package in "$@"; do
        if [ "$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null)" != installed ]; then
            printf '%s ' "$package"
        fi
    done
}

# Installs what is missing. While it does, policy-rc.d keeps Debian from starting the daemons
# that come with some packages: they would take ports that the tests use. A file that was there
# before is put back.
install_packages() {
    local missing policy=/usr/sbin/policy-rc.d saved result=0

    missing=$(missing_packages "$@")
    if [ -z "$missing" ]; then
        return 0
    fi
    say "installing: $missing"
    as_root true || return 1

    saved=$policy.before-loble
    if [ -e "$policy" ] && [ ! -e "$saved" ]; then
        as_root mv "$policy" "$saved" || return 1
    fi
    trap 'restore_policy' EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM
    printf '#!/bin/sh\nexit 101\n' | as_root tee "$policy" >/dev/null
    as_root chmod 755 "$policy"

    as_root env DEBIAN_FRONTEND=noninteractive apt-get update -q || result=1
    # The names are separate words on purpose.
    # shellcheck disable=SC2086
    as_root env DEBIAN_FRONTEND=noninteractive \
        apt-get install -y -q --no-install-recommends $missing || result=1

    restore_policy
    trap - EXIT INT TERM
    # An update that fails is no harm when the packages are there afterwards.
    if [ -z "$(missing_packages "$@")" ]; then
        result=0
    fi
    return $result
}

restore_policy() {
    local policy=/usr/sbin/policy-rc.d
    as_root rm -f "$policy"
    if [ -e "$policy.before-loble" ]; then
        as_root mv "$policy.before-loble" "$policy"
    fi
}

# setup_build DIRECTORY [meson option]...: configures it once; later calls keep what is there.
setup_build() {
    local directory=$1
    shift
    if [ ! -f "$directory/build.ninja" ]; then
        meson setup "$directory" "$@"
    fi
}

# The program of a build directory.
binary_of() {
    printf '%s/%s/src/main/loble' "$PWD" "$1"
}
