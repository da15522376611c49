#!/bin/bash
# A guest's life on Debian 13's libvirt.so.0 (11.3.0) with libsvirt preloaded, in a folder that has nothing else.
#   run.sh STAGE SHIM       STAGE: an installed copy of the library, SHIM: libsvirt-libvirt.so
# The packages are fetched once and kept in ~/.cache/libsvirt-kernel (SVIRT_KERNEL_CACHE). Ends with "total: …".
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
[ $# = 2 ] || { sed -n '2,4s/^# \{0,1\}//p' "$0"; exit 2; }
stage=$1 shim=$2
cache=${SVIRT_KERNEL_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/libsvirt-kernel}
mkdir -p "$cache"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

exec 9>"$cache/lock"
flock 9
if [ ! -e "$cache/libvirt11.tar" ]; then
    sed 's/bookworm/trixie/g' /etc/apt/sources.list.d/debian.sources >"$work/trixie.sources"
    mmdebstrap --quiet --mode=root --variant=extract --include=base-files,libvirt0,coreutils \
        --aptopt='APT::Install-Recommends "false"' --dpkgopt='path-exclude=/usr/share/*' \
        trixie "$cache/libvirt11.partial.tar" "$work/trixie.sources" >&2
    mv "$cache/libvirt11.partial.tar" "$cache/libvirt11.tar"
fi
flock -u 9
mkdir "$work/root"
tar -C "$work/root" -xf "$cache/libvirt11.tar"
cp -L "$stage/lib/libsvirt.so.0" "$shim" "$work/root/usr/lib/"
cc -std=gnu11 -O1 -Wall -Wextra -o "$work/root/life" "$here/life.c" -l:libvirt.so.0
truncate -s 1M "$work/root/disk.img"
mkdir -p "$work/root"/{proc,dev,etc}
printf 'root:x:0:0::/:/bin/sh\nguest:x:4711:4711::/:/bin/sh\n' >"$work/root/etc/passwd"
printf 'root:x:0:\nguest:x:4711:\n' >"$work/root/etc/group"
# Its own mount namespace: what is mounted here goes with it.
unshare --mount --fork sh -c "mount -t proc proc '$work/root/proc' && mount --bind /dev '$work/root/dev' &&
    exec chroot '$work/root' env LD_PRELOAD=libsvirt-libvirt.so /life /disk.img"
