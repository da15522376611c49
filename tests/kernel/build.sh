#!/bin/bash
# Builds what the kernel tests boot: Debian's stock kernel and a root file system labelled for SELinux.
# Prints the folder that holds vmlinuz and root.img; it is made once and kept in a cache.
#
#   build.sh            build when missing, print the folder
#   build.sh libvirt    the same with libvirtd in it, and the kernel's modules for KVM and network devices
#   SVIRT_KERNEL_CACHE  where to keep it (default: ~/.cache/libsvirt-kernel)
set -euo pipefail
case "${1-}" in
'' | libvirt) with=${1-} ;;
*) sed -n '2,8s/^# \{0,1\}//p' "$0"; exit 0 ;;
esac
here=$(cd "$(dirname "$0")" && pwd)
say() { echo "kernel image: $*" >&2; }
[ "$(id -u)" = 0 ] || { say "must be built as root: only root may set security.* attributes"; exit 1; }

tools="qemu-system-x86 mmdebstrap policycoreutils e2fsprogs kmod"
# shellcheck disable=SC2086
if ! dpkg-query -W $tools >/dev/null 2>&1; then
    say "installing $tools"
    apt-get update -qq >&2
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $tools >&2
fi

packages=mount,kmod,procps,attr,acl,busybox-static,selinux-policy-default,policycoreutils,selinux-utils
packages+=,libselinux1,apparmor,qemu-system-x86,qemu-utils,libcmocka0,python3-minimal,libpython3-stdlib,libgcc-s1
inputs=("$here/build.sh" "$here/vm-init")
if [ "$with" = libvirt ]; then
    packages+=,libvirt-daemon-system,libvirt-daemon-system-sysv,libvirt-clients
    inputs+=("$here/libvirt.cil")
fi
kernel=$(apt-cache depends linux-image-cloud-amd64 | awk '/Depends: linux-image/{print $2; exit}')
[ -n "$kernel" ] || { say "no linux-image-cloud-amd64 among the packages; run apt-get update"; exit 1; }
key=$({ cat "${inputs[@]}"; echo "$packages $kernel"; } | sha256sum | cut -c1-16)
cache=${SVIRT_KERNEL_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/libsvirt-kernel}
mkdir -p "$cache"

# One builder at a time; what is there under its final name is complete.
exec 9>"$cache/lock"
flock 9
if [ ! -e "$cache/$key" ]; then
    rm -rf "$cache"/*.partial
    work=$cache/$key.partial root=$cache/$key.partial/root
    mkdir "$work"
    say "fetching $kernel"
    (cd "$work" && apt-get download -qq "$kernel" >&2 && dpkg -x ./*.deb kernel && rm ./*.deb)
    cp "$work"/kernel/boot/vmlinuz-* "$work/vmlinuz"
    version=$(ls "$work/kernel/lib/modules")

    say "installing Debian into it"
    mmdebstrap --quiet --mode=root --variant=minbase --include="$packages" \
        --aptopt='APT::Install-Recommends "false"' \
        --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/man/*' \
        --dpkgopt='path-exclude=/usr/share/locale/*' --dpkgopt='path-exclude=/usr/share/info/*' \
        --skip=check/empty bookworm "$root" /etc/apt/sources.list.d/debian.sources >&2
    # Little is needed of the modules: ext4, NVMe and the serial port are built into this kernel.
    mkdir -p "$root/usr/lib/modules/$version"
    if [ "$with" = libvirt ]; then
        depmod -b "$work/kernel" "$version"
        for module in kvm_amd tun tap vhost_net bridge veth loop; do
            modprobe -d "$work/kernel" -S "$version" --show-depends "$module" | awk '/^insmod/{print $2}'
        done | sort -u | while read -r file; do
            install -D -m644 "$file" "$root/usr/lib/modules/$version/${file#*/"$version"/}"
        done
        cp "$work/kernel/lib/modules/$version"/modules.{builtin,order,builtin.modinfo} "$root/usr/lib/modules/$version/"
        depmod -b "$root" "$version"
        # Made here so that they are labelled with the rest: nothing makes them at boot.
        mkdir -p "$root"/run/libvirt/{common,qemu}
        cp "$here/libvirt.cil" "$root/root/"
        chroot "$root" semodule -N -i /root/libvirt.cil
    fi
    install -m755 "$here/vm-init" "$root/sbin/vm-init"
    mkdir -p "$root/job" "$root/run/lock" "$root/var/lib/libvirt/images"
    sed -i 's/^SELINUX=.*/SELINUX=enforcing/' "$root/etc/selinux/config"
    echo vm >"$root/etc/hostname"
    echo '127.0.0.1 localhost vm' >"$root/etc/hosts"
    echo 0123456789abcdef0123456789abcdef >"$root/etc/machine-id"
    rm -rf "$root"/usr/bin/qemu-system-i386 "$root"/var/cache/apt/* "$root"/var/lib/apt/lists/*

    say "labelling it"
    contexts=$root/etc/selinux/default/contexts/files
    printf '/usr/sbin/vm-init\t--\tsystem_u:object_r:init_exec_t:s0\n' >"$contexts/file_contexts.local"
    [ "$with" != libvirt ] || printf '/usr/lib/libvirt/libvirt_iohelper\t--\tsystem_u:object_r:bin_t:s0\n' >>"$contexts/file_contexts.local"
    setfiles -F -m -r "$root" "$root/etc/selinux/default/contexts/files/file_contexts" "$root" >&2
    size=$(($(du -sm "$root" | cut -f1) * 5 / 4 + 400))
    truncate -s "${size}M" "$work/root.img"
    mkfs.ext4 -q -F -L root -O ^has_journal,^metadata_csum -m 0 -d "$root" "$work/root.img"
    rm -rf "$root" "$work/kernel"
    mv "$work" "$cache/$key"
    say "ready, $(du -sm "$cache/$key" | cut -f1) MiB"
fi
echo "$cache/$key"
