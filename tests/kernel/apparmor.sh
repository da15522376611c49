#!/bin/bash
# Everything that needs AppArmor, inside a booted kernel that enforces it: guests that try things, the child
# step, and mini-vmd with two real guests. Ends with "total: N passed, N failed".
#   apparmor.sh STAGE CRASH-BINARY     (the Rust test binary "crash")
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
root=$here/../..
stage=$1 crash=$2
job=$(mktemp -d)
trap 'rm -rf "$job"' EXIT
export PKG_CONFIG_PATH=$stage/lib/pkgconfig
for source in c-tests/guest-probe.c c-tests/test_child.c examples/mini-vmd.c; do
    # shellcheck disable=SC2046
    cc -std=gnu11 -O1 -o "$job/$(basename "$source" .c)" "$root/$source" \
        $(pkg-config --cflags --libs svirt) -lcmocka -lpthread
done
strip -o "$job/crash" "$crash"
cp "$stage/lib/libsvirt.so.0" "$job/"
cp -r "$root/python" "$stage/etc" "$job/"
sed -n "/^cat >.*guests.sh/,/^SCRIPT$/p" "$root/examples/demo.sh" | sed '1d;$d' >"$job/guests.sh"
cat >"$job/run.sh" <<'SCRIPT'
passed=0 failed=0
step() {
    echo "== $1"
    shift
    if "$@"; then passed=$((passed + 1)); else failed=$((failed + 1)); echo "FAILED: $*"; fi
}
cp /job/libsvirt.so.0 /usr/lib/
cp -r /job/etc/apparmor.d /etc/
cp /job/guest-probe /usr/bin/qemu-system-probe
images=/var/lib/libvirt/images
sh /job/guests.sh $images
loaded=$(cat /sys/kernel/security/apparmor/profiles)
step "guests that try things" python3 /job/python/test_apparmor.py
step "mini-vmd, apparmor" /job/mini-vmd -d apparmor $images/alpha.xml $images/beta.xml
step "mini-vmd, what the host enforces and a user for every guest" /job/mini-vmd -o dac.uid_range=100000-165535 $images/alpha.xml $images/beta.xml
step "mini-vmd, apparmor, landlock and a user for every guest" /job/mini-vmd -d apparmor,landlock,dac -o dac.uid_range=100000-165535 $images/alpha.xml $images/beta.xml
step "no profile of a guest is left" [ -z "$(grep ^libvirt- /sys/kernel/security/apparmor/profiles)" ]
step "no file of a profile is left" [ -z "$(find /etc/apparmor.d /var/cache/apparmor -name 'libvirt-*-*')" ]
step "the child step under this kernel" /job/test_child
# Loading a profile takes long here: a few points of each kind, others in every run.
step "a daemon killed anywhere" env SVIRT_CRASH=apparmor SVIRT_CRASH_SECONDS=90 SVIRT_CRASH_DIR=$images /job/crash
echo "total: $passed passed, $failed failed"
[ $failed = 0 ]
SCRIPT
"$here/run.sh" -l apparmor -t 1500 "$job"
