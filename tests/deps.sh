#!/bin/bash
# Installs what building, the demo and the tests need on Debian 12: packages when run as root, and Rust when
# there is none.
set -euo pipefail
packages="build-essential pkg-config libselinux1-dev libclang-dev libcmocka-dev qemu-system-x86 attr acl valgrind
    python3 mmdebstrap policycoreutils e2fsprogs kmod git"
# shellcheck disable=SC2086
if ! dpkg-query -W $packages >/dev/null 2>&1; then
    if [ "$(id -u)" != 0 ]; then
        echo "deps: run once as root, or install: $packages" | tr -s ' \n' ' ' >&2
        exit 1
    fi
    echo "installing Debian packages ..."
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $packages >/dev/null
fi
oldest=$(sed -n 's/^rust-version = "\(.*\)"/\1/p' "$(dirname "$0")/../Cargo.toml")
have=$(cargo --version 2>/dev/null | awk '{print $2}' || true)
if [ -z "$have" ] || [ "$(printf '%s\n' "$oldest" "$have" | sort -V | head -1)" != "$oldest" ]; then
    echo "deps: Rust $oldest or newer is needed (found: ${have:-none}); get it from https://rustup.rs" >&2
    exit 1
fi
