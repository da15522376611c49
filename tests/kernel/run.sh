#!/bin/bash
# Runs JOB/run.sh as root inside a booted Debian kernel and ends with its exit status.
#
#   run.sh [-l selinux|apparmor|none] [-t SECONDS] [-m MIB] [-d DISK] [-x "KERNEL ARGUMENTS"] JOB
#
# The folder JOB appears as /job inside, the file DISK, which keeps what is written, as /dev/nvme2n1.
# The job's output goes to stdout; when it fails, the kernel's denials follow.
# Exit status 125: the guest ended without one (the end of its console is shown).
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
usage() { sed -n '2,8s/^# \{0,1\}//p' "$0"; exit "$1"; }
lsm=selinux seconds=600 memory=2048 extra= disk=()
[ "${1-}" = --help ] && usage 0
while getopts l:t:m:d:x:h flag; do
    case $flag in
    l) lsm=$OPTARG ;;
    t) seconds=$OPTARG ;;
    m) memory=$OPTARG ;;
    d) disk=(-drive "file=$OPTARG,if=none,id=disk,format=raw" -device nvme,drive=disk,serial=disk) ;;
    x) extra=$OPTARG ;;
    h) usage 0 ;;
    *) usage 2 ;;
    esac
done
shift $((OPTIND - 1))
[ $# = 1 ] || usage 2
image=${SVIRT_KERNEL_DIR:-$("$here/build.sh")}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
tar -C "$1" -cf "$work/job.tar" .
truncate -s %4096 "$work/job.tar"
security=
[ "$lsm" = none ] || security=security=$lsm
# Emulated on purpose: stock kernels hang on the nested /dev/kvm of some hosts.
timeout -k 5 "$seconds" qemu-system-x86_64 -M q35 -accel tcg,thread=multi -cpu max,la57=off -smp 2 -m "$memory" \
    -nodefaults -no-reboot -display none -kernel "$image/vmlinuz" \
    -append "root=/dev/nvme0n1 rootfstype=ext4 ro init=/sbin/vm-init console=ttyS0 quiet panic=-1 mitigations=off nokaslr audit=1 audit_backlog_limit=8192 $security vm.lsm=$lsm $extra" \
    -drive "file=$image/root.img,if=none,id=root,format=raw,snapshot=on" -device nvme,drive=root,serial=root \
    -drive "file=$work/job.tar,if=none,id=job,format=raw,readonly=on" -device nvme,drive=job,serial=job "${disk[@]}" \
    -serial "file:$work/console" -serial stdio </dev/null | sed -u 's|\r||g' |
    tee "$work/output" | sed -u '/^@@DENIALS/,/^@@VM-EXIT/d; /^@@VM/d' || true
status=$(sed -n 's/.*@@VM-EXIT rc=\([0-9]*\).*/\1/p' "$work/output" | tail -1)
if [ -z "$status" ]; then
    echo "run.sh: the guest ended without an exit status; its console:" >&2
    tail -20 "$work/console" >&2
fi
[ "$status" = 0 ] || sed -n '/^@@DENIALS/,/^@@VM-EXIT/p' "$work/output"
exit "${status:-125}"
