#!/bin/bash
# The main job: two guests with a disk each and one ISO for both, run by mini-vmd on a real qemu.
#   demo.sh            on this host, with what it enforces; as root with a uid of its own for every guest too
#   demo.sh selinux    the same daemon in a booted kernel that enforces SELinux
#   demo.sh apparmor   the same daemon in a booted kernel that enforces AppArmor
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
stage=$here/../stage
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export PKG_CONFIG_PATH=$stage/lib/pkgconfig
# shellcheck disable=SC2046
cc -std=c11 -Wall -Wextra -Werror -O2 -o "$work/mini-vmd" "$here/mini-vmd.c" $(pkg-config --cflags --libs svirt)

# guests FOLDER: the images, and one XML file a guest
cat >"$work/guests.sh" <<'SCRIPT'
set -eu
images=$1
for name in alpha beta; do
    truncate -s 16M "$images/$name.img"
    chmod 600 "$images/$name.img"
    case $name in alpha) digit=a ;; *) digit=b ;; esac
    cat >"$images/$name.xml" <<XML
<domain type='qemu'>
  <name>$name</name>
  <uuid>0b15ad3c-11f4-4b0c-a8e2-00000000000$digit</uuid>
  <devices>
    <emulator>/usr/bin/qemu-system-x86_64</emulator>
    <disk type='file' device='disk'><source file='$images/$name.img'/><target dev='hda'/></disk>
    <disk type='file' device='cdrom'><source file='$images/shared.iso'/><target dev='hdc'/><readonly/></disk>
  </devices>
</domain>
XML
done
truncate -s 4M "$images/shared.iso"
chmod 600 "$images/shared.iso"
SCRIPT

case ${1-} in
"")
    chmod 711 "$work"
    mkdir -m 711 "$work/images"
    sh "$work/guests.sh" "$work/images"
    users=
    [ "$(id -u)" != 0 ] || users="-o dac.uid_range=100000-165535"
    # shellcheck disable=SC2086
    LD_LIBRARY_PATH=$stage/lib "$work/mini-vmd" $users -o "runtime_dir=$work/run" -o "state_dir=$work/state" \
        "$work/images/alpha.xml" "$work/images/beta.xml"
    ;;
selinux)
    job=$work/job
    mkdir "$job"
    cp "$work/mini-vmd" "$work/guests.sh" "$stage/lib/libsvirt.so.0" "$job/"
    cat >"$job/run.sh" <<'SCRIPT'
cp /job/libsvirt.so.0 /usr/lib/ && restorecon /usr/lib/libsvirt.so.0
images=/var/lib/libvirt/images
sh /job/guests.sh $images
restorecon -R $images
# An emulated guest needs executable memory; the daemon's type is the one that may start guests.
setsebool virt_use_execmem 1
chcon -t virtd_exec_t /job/mini-vmd
/job/mini-vmd -d selinux $images/alpha.xml $images/beta.xml
SCRIPT
    "$here/../tests/kernel/run.sh" -l selinux "$job"
    ;;
apparmor)
    job=$work/job
    mkdir "$job"
    cp -rL "$work/mini-vmd" "$work/guests.sh" "$stage/lib/libsvirt.so.0" "$stage/etc" "$job/"
    cat >"$job/run.sh" <<'SCRIPT'
cp /job/libsvirt.so.0 /usr/lib/
cp -r /job/etc/apparmor.d /etc/
images=/var/lib/libvirt/images
sh /job/guests.sh $images
/job/mini-vmd -d apparmor $images/alpha.xml $images/beta.xml
SCRIPT
    "$here/../tests/kernel/run.sh" -l apparmor "$job"
    ;;
*)
    echo "demo: KERNEL=$1 is not known; selinux and apparmor are" >&2
    exit 2
    ;;
esac
