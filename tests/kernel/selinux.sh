#!/bin/bash
# Everything that needs SELinux, inside a booted kernel that enforces it: the library's own tests, the C
# tests, and mini-vmd with two real guests. Ends with "total: N passed, N failed".
#   selinux.sh STAGE CRASH-BINARY TEST-BINARY...     (the Rust test "crash", and others to run inside)
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
root=$here/../..
stage=$1 crash=$2
shift 2
job=$(mktemp -d)
trap 'rm -rf "$job"' EXIT
export PKG_CONFIG_PATH=$stage/lib/pkgconfig
for source in c-tests/test_{selinux,selinux_hotplug,contract,input,child}.c examples/mini-vmd.c; do
    # shellcheck disable=SC2046
    cc -std=gnu11 -O1 -o "$job/$(basename "$source" .c)" "$root/$source" \
        $(pkg-config --cflags --libs svirt) -lcmocka -lpthread
done
strip -o "$job/crash" "$crash"
mkdir "$job/rust"
for binary in "$@"; do
    strip -o "$job/rust/$(basename "$binary")" "$binary"
done
cp "$stage/lib/libsvirt.so.0" "$job/"
cp -r "$root/python" "$job/python"
sed -n "/^cat >.*guests.sh/,/^SCRIPT$/p" "$root/examples/demo.sh" | sed '1d;$d' >"$job/guests.sh"
cat >"$job/run.sh" <<'SCRIPT'
passed=0 failed=0
step() {
    echo "== $1"
    shift
    if "$@"; then passed=$((passed + 1)); else failed=$((failed + 1)); echo "FAILED: $*"; fi
}
# What mini-vmd says of an image or a guest is also what the kernel says, asked from outside while both guests run.
watch() {
    # Through a pipe: the daemon's type may not write files of the job.
    { /job/mini-vmd -d selinux $images/alpha.xml $images/beta.xml; echo $? >/job/vmd.rc; } 2>&1 | cat >/job/vmd.out &
    vmd=$! seen=
    while [ -z "$seen" ] && kill -0 $vmd 2>/dev/null; do
        alpha=$(context alpha) beta=$(context beta)
        case $alpha/$beta in
        system_u:system_r:svirt_t:s0:c*,c*/system_u:system_r:svirt_t:s0:c*,c*)
            seen="$alpha $beta $(stat -c %C $images/alpha.img $images/beta.img $images/shared.iso | tr '\n' ' ')"
            ;;
        *) sleep 0.1 ;;
        esac
    done
    wait $vmd
    cat /job/vmd.out
    return "$(cat /job/vmd.rc)"
}
# The context of a guest's qemu, by its name.
context() {
    for pid in $(pgrep -f "^/usr/bin/qemu-system-x86_64 -name $1 "); do tr -d '\0' </proc/$pid/attr/current; done
}
contexts_are_right() {
    echo "seen: $seen"
    # shellcheck disable=SC2086
    set -- $seen
    [ "$1" != "$2" ] && [ "$3" = "system_u:object_r:svirt_image_t:${1#system_u:system_r:svirt_t:}" ] &&
        [ "$4" = "system_u:object_r:svirt_image_t:${2#system_u:system_r:svirt_t:}" ] &&
        [ "$5" = system_u:object_r:virt_content_t:s0 ]
}
said() { grep -q "^  as $1: $2 $images/$3 $4  *ok$" /job/vmd.out; }
cp /job/libsvirt.so.0 /usr/lib/ && restorecon /usr/lib/libsvirt.so.0
images=/var/lib/libvirt/images
sh /job/guests.sh $images
restorecon -R $images
setsebool virt_use_execmem 1
# The type of the daemon that may start guests; entered from here by exec alone.
cp /usr/bin/python3 /job/python3
chcon -t virtd_exec_t /job/mini-vmd /job/test_* /job/python3
before=$(getfattr -dm - -e hex $images/*.img $images/*.iso 2>/dev/null)
step "C tests as virtd_t" /job/test_selinux
step "the contract as virtd_t" /job/test_contract
step "hot plug as virtd_t" /job/test_selinux_hotplug
step "bad input as virtd_t" /job/test_input
step "Python as virtd_t" /job/python3 /job/python/test_selinux.py
step "mini-vmd, selinux" watch
step "contexts of both qemu processes, their disks and the ISO" contexts_are_right
step "alpha is denied beta's disk" said alpha reading beta.img "is refused"
step "beta is denied alpha's disk" said beta writing alpha.img "is refused"
step "both read the shared ISO" said alpha reading shared.iso works
step "neither writes it" said beta writing shared.iso "is refused"
step "mini-vmd, selinux and a user for every guest" /job/mini-vmd -d selinux,dac -o dac.uid_range=100000-165535 $images/alpha.xml $images/beta.xml
step "mini-vmd, selinux with a range of 8 categories" /job/mini-vmd -d selinux -o mcs.range=c0.c7 $images/alpha.xml $images/beta.xml
step "mini-vmd, selinux, landlock and a user for every guest" /job/mini-vmd -d selinux,landlock,dac -o dac.uid_range=100000-165535 $images/alpha.xml $images/beta.xml
after=$(getfattr -dm - -e hex $images/*.img $images/*.iso 2>/dev/null)
step "no attribute has changed" [ "$before" = "$after" ]
step "no image is listed as held by libvirt" [ -z "$(getfattr -Rdm trusted $images 2>/dev/null)" ]
chcon -t bin_t /job/test_child
step "the child step under this kernel" /job/test_child
for binary in /job/rust/*; do
    [ -e "$binary" ] && step "Rust tests, $(basename "$binary")" "$binary" -q
done
export SVIRT_CRASH_SECONDS=45 SVIRT_CRASH_DIR=$images
for stack in selinux selinux-uids; do
    step "a daemon killed anywhere, $stack" env SVIRT_CRASH=$stack /job/crash
done
echo "total: $passed passed, $failed failed"
[ $failed = 0 ]
SCRIPT
"$here/run.sh" -l selinux -t 1500 "$job"
