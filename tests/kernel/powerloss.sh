#!/bin/bash
# Cuts the power of the booted kernel, that is kills its emulator, at random moments while guests start and stop
# on a journalled ext4 disk; boots it again, gives back what they held, and checks every file.
# Ends with "total: N passed, N failed", one for every cut.
#   powerloss.sh STAGE [CUTS]     (default: 5 cuts)
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
stage=$1 cuts=${2:-5}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
job=$work/job
mkdir "$job"
export PKG_CONFIG_PATH=$stage/lib/pkgconfig
# shellcheck disable=SC2046
cc -std=gnu11 -Wall -Wextra -Werror -O1 -o "$job/powerloss" "$here/powerloss.c" $(pkg-config --cflags --libs svirt) -lpthread
cp "$stage/lib/libsvirt.so.0" "$job/"
truncate -s 64M "$work/disk"
mkfs.ext4 -q -F "$work/disk"
cat >"$job/run.sh" <<'SCRIPT'
cp /job/libsvirt.so.0 /usr/lib/ && restorecon /usr/lib/libsvirt.so.0
images=/var/lib/libvirt/images
mount -t ext4 /dev/nvme2n1 $images || exit 1
if [ ! -e $images/disk-0 ]; then
    mkdir $images/state
    /job/powerloss setup $images && restorecon -RF $images && sync
fi
chcon -t virtd_exec_t /job/powerloss
/job/powerloss check $images || exit 1
echo "all as it was"
[ -e /job/last ] || /job/powerloss run $images
SCRIPT
boot() { "$here/run.sh" -l selinux -d "$work/disk" -t 120 "$job"; }

passed=0 failed=0
for cut in $(seq "$cuts"); do
    # Empty before it is looked at.
    : >"$work/output"
    boot >"$work/output" 2>&1 &
    boot=$!
    # All guests have run: from here on any moment will do.
    until [ "$(grep -c 'was started and stopped' "$work/output")" = 3 ] || ! kill -0 $boot 2>/dev/null; do sleep 0.05; done
    sleep "$(awk -v seed="$RANDOM" 'BEGIN { srand(seed); printf "%.3f", rand() * 2 }')"
    if grep -q FAILED "$work/output" || ! pkill -KILL -f "file=$work/disk,"; then
        echo "FAILED  cut $cut"
        cat "$work/output"
        failed=$((failed + 1))
        wait $boot || true
        break
    fi
    wait $boot || true
    echo "cut $cut: before it $(grep 'given back' "$work/output")"
    passed=$((passed + 1))
done
# The last cut is judged by one more boot; every other one was by the next.
touch "$job/last"
if ! boot >"$work/output" 2>&1 || ! grep -q 'all as it was' "$work/output"; then
    echo "FAILED  after the last cut"
    cat "$work/output"
    failed=$((failed + 1)) passed=$((passed - 1))
fi
echo "after the last cut: $(grep 'given back' "$work/output")"
echo "total: $passed passed, $failed failed"
[ $failed = 0 ]
