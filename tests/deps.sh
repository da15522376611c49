#!/bin/bash
# Installs what building, the demo, the tests and the benchmarks need on Debian 12, as root: Debian's packages, and Rust from
# rustup.rs when there is none or an older one than Cargo.toml asks for.
set -euo pipefail
packages="build-essential ca-certificates curl pkg-config libselinux1-dev libclang-dev libcmocka-dev
    qemu-system-x86 qemu-utils attr acl valgrind python3 mmdebstrap policycoreutils apparmor e2fsprogs kmod procps
    binutils git libvirt0"
# shellcheck disable=SC2086
missing=$(dpkg-query -W -f '${Package} ${db:Status-Status}\n' $packages 2>&1 | grep -v ' installed$' || true)
if [ -n "$missing" ]; then
    if [ "$(id -u)" != 0 ]; then
        echo "deps: run once as root, or install: $packages" | tr -s ' \n' ' ' >&2
        exit 1
    fi
    echo "deps: installing Debian packages ..."
    apt-get update -qq
    # shellcheck disable=SC2086
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $packages >/dev/null
fi
export PATH=$HOME/.cargo/bin:$PATH
oldest=$(sed -n 's/^rust-version = "\(.*\)"/\1/p' "$(dirname "$0")/../Cargo.toml")
have=$(cargo --version 2>/dev/null | awk '{print $2}' || true)
if [ "$(printf '%s\n' "$oldest" "${have:-0}" | sort -V | head -1)" != "$oldest" ]; then
    echo "deps: installing Rust (at least $oldest is needed, found: ${have:-none}) ..."
    curl -sSf https://sh.rustup.rs | sh -s -- -q -y --no-modify-path --profile minimal >/dev/null
fi
# What the gate needs beside the compiler, where rustup can give it.
if command -v rustup >/dev/null && ! { cargo fmt --version && cargo clippy --version; } >/dev/null 2>&1; then
    rustup -q component add rustfmt clippy >/dev/null
fi
command -v cargo-fuzz >/dev/null || { echo "deps: installing cargo-fuzz ..."; cargo install -q --locked cargo-fuzz; }
