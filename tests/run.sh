#!/bin/bash
# Everything: Rust, C, Python, fuzzing, the demo, and the booted kernels. Ends with "total: N passed, N failed, N skipped".
#   tests/run.sh      (make test; as root)
set -uo pipefail
cd "$(dirname "$0")/.." || exit 1
[ "$(id -u)" = 0 ] || { echo "run.sh: the tests change owners and labels of files; run them as root" >&2; exit 1; }
started=$SECONDS
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT
passed=0 failed=0 skipped=0
rows=()

# suite NAME COMMAND...: a suite counts what its lines "N passed", "N failed", "N ignored" or "N skipped"
# say; one that fails without saying so counts as one failure, one that says nothing as one test.
suite() {
    local name=$1 at=$SECONDS p f s status
    shift
    echo "=== $name"
    "$@" 2>&1 | tee "$out/log"
    status=${PIPESTATUS[0]}
    p=$(count passed) f=$(count failed) s=$(($(count skipped) + $(count ignored)))
    [ "$status" = 0 ] || [ "$f" != 0 ] || f=1
    [ $((p + f + s)) != 0 ] || p=1
    passed=$((passed + p)) failed=$((failed + f)) skipped=$((skipped + s))
    rows+=("$(printf '%-28s %4d passed %3d failed %3d skipped %5d s' "$name" "$p" "$f" "$s" $((SECONDS - at)))")
}
count() {
    grep -E '^(test result:|total:)' "$out/log" | grep -oE "[0-9]+ $1" | awk '{ sum += $1 } END { print sum + 0 }'
}
python_tests() {
    local ran=0 status
    LD_LIBRARY_PATH=stage/lib python3 python/test_svirt.py -v 2>&1 | tee "$out/python"
    status=${PIPESTATUS[0]}
    ran=$(sed -n 's/^Ran \([0-9]*\) test.*/\1/p' "$out/python")
    bad=$(grep -cE '^(FAIL|ERROR): ' "$out/python")
    idle=$(grep -c '\.\.\. skipped' "$out/python")
    echo "total: $((${ran:-0} - bad - idle)) passed, $bad failed, $idle skipped"
    return "$status"
}
# rust_test_binaries WHICH...: --lib, --test NAME, or several
rust_test_binaries() {
    cargo test --locked "$@" --no-run --message-format=json 2>/dev/null |
        sed -n 's/.*"executable":"\([^"]*\)".*/\1/p'
}

make -s stage || exit 1
suite "Rust" cargo test --locked --quiet
suite "C" c-tests/run.sh "$PWD/stage"
suite "Python" python_tests
suite "fuzz" fuzz/run.sh 3
suite "demo, this host" examples/demo.sh
crash=$(rust_test_binaries --test crash)
# shellcheck disable=SC2046
suite "kernel with SELinux" tests/kernel/selinux.sh "$PWD/stage" "$crash" $(rust_test_binaries --lib --test rows)
suite "power loss" tests/kernel/powerloss.sh "$PWD/stage" 5
suite "kernel with AppArmor" tests/kernel/apparmor.sh "$PWD/stage" "$crash"
suite "older kernel with Landlock" tests/kernel/landlock.sh "$PWD/stage" "$(rust_test_binaries --test landlock)"
make -s libvirt-shim || exit 1
suite "libvirt 11.3.0's library" tests/libvirt11/run.sh "$PWD/stage" target/libsvirt-libvirt.so
for lsm in selinux apparmor; do
    suite "libvirtd with $lsm" tests/kernel/libvirt.sh -l $lsm "$PWD/stage" target/libsvirt-libvirt.so
done

echo "=== summary"
printf '%s\n' "${rows[@]}"
echo "time: $((SECONDS - started)) s"
echo "total: $passed passed, $failed failed, $skipped skipped"
[ "$failed" = 0 ]
