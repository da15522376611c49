#!/bin/bash
# The unmodified libvirtd in a booted kernel, on libsvirt and on its own drivers, with the same steps.
#
#   libvirt.sh [-l selinux|apparmor] [-d libsvirt|libvirt] STAGE SHIM
#
# STAGE is an installed copy of the library, SHIM is libsvirt-libvirt.so. Ends with "total: N passed, N failed";
# lines that begin with "not libvirt" show what libvirt's own drivers leave undone.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
lsm=selinux driver=libsvirt
while getopts l:d: flag; do
    case $flag in
    l) lsm=$OPTARG ;;
    d) driver=$OPTARG ;;
    *) sed -n '2,7s/^# \{0,1\}//p' "$0" && exit 2 ;;
    esac
done
shift $((OPTIND - 1))
[ $# = 2 ] || { sed -n '2,7s/^# \{0,1\}//p' "$0"; exit 2; }
job=$(mktemp -d)
trap 'rm -rf "$job"' EXIT
cp -L "$1/lib/libsvirt.so.0" "$2" "$job/"
cp "$here/libvirt-steps.sh" "$job/run.sh"
printf 'LSM=%s\nDRIVER=%s\n' "$lsm" "$driver" >"$job/settings"
SVIRT_KERNEL_DIR=$("$here/build.sh" libvirt) "$here/run.sh" -l "$lsm" -t 1500 "$job"
