#!/bin/bash
# The benchmark beside libvirt (benches/peer) in a booted kernel that enforces SELinux, or AppArmor. Prints what its
# parts print; `peer table` makes a table of that.
#   peer.sh selinux|apparmor STAGE PEER-BINARY
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
[ $# = 3 ] || { sed -n '2,4s/^# \{0,1\}//p' "$0"; exit 2; }
lsm=$1 stage=$2
job=$(mktemp -d)
trap 'rm -rf "$job"' EXIT
strip -o "$job/peer" "$3"
cp -r "$stage/etc" "$job/"
echo "$lsm" >"$job/lsm"
cat >"$job/run.sh" <<'SCRIPT'
export LIBVIRT_DEBUG=4 PEER_DIR=/var/lib/libvirt/images
case $(cat /job/lsm) in
selinux)
    # In memory, as on a host: the emulated disk is slow.
    busybox mount -t tmpfs -o rootcontext=system_u:object_r:virt_image_t:s0 tmpfs $PEER_DIR
    # The daemon's type; entered from here by exec alone.
    chcon -t virtd_exec_t /job/peer
    /job/peer part gen labelling stack shared threads
    # That type may not trace; the step is the same.
    cp /job/peer /job/traced && chcon -t bin_t /job/traced
    /job/traced part child
    ;;
apparmor)
    cp -r /job/etc/apparmor.d /etc/
    apparmor_parser -r /etc/apparmor.d/usr.sbin.libvirtd /etc/apparmor.d/usr.lib.libvirt.virt-aa-helper
    /job/peer part apparmor child
    ;;
esac
SCRIPT
SVIRT_KERNEL_DIR=$("$here/build.sh" libvirt) "$here/run.sh" -l "$lsm" -t 900 "$job"
