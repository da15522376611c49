#!/bin/bash
# Landlock in an older kernel than this host's: Linux 6.1, whose ABI 2 cannot refuse everything. Runs the
# Rust test "landlock" and mini-vmd in it. Ends with "total: N passed, N failed".
#   landlock.sh STAGE TEST-BINARY
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
root=$here/../..
stage=$1 binary=$2
job=$(mktemp -d)
trap 'rm -rf "$job"' EXIT
export PKG_CONFIG_PATH=$stage/lib/pkgconfig
# shellcheck disable=SC2046
cc -std=gnu11 -O1 -o "$job/mini-vmd" "$root/examples/mini-vmd.c" $(pkg-config --cflags --libs svirt)
strip -o "$job/landlock" "$binary"
cp "$stage/lib/libsvirt.so.0" "$job/"
sed -n "/^cat >.*guests.sh/,/^SCRIPT$/p" "$root/examples/demo.sh" | sed '1d;$d' >"$job/guests.sh"
cat >"$job/run.sh" <<'SCRIPT'
passed=0 failed=0
step() {
    echo "== $1"
    shift
    if "$@"; then passed=$((passed + 1)); else failed=$((failed + 1)); echo "FAILED: $*"; fi
}
busybox ip link set lo up
cp /job/libsvirt.so.0 /usr/lib/
images=/var/lib/libvirt/images
sh /job/guests.sh $images
guests="$images/alpha.xml $images/beta.xml"
step "what a guest can and cannot do" /job/landlock --test-threads=1
step "mini-vmd, landlock and a user for every guest" /job/mini-vmd -d landlock,dac -o dac.uid_range=100000-165535 $guests
echo "total: $passed passed, $failed failed"
[ $failed = 0 ]
SCRIPT
"$here/run.sh" -l none "$job"
