#!/bin/bash
# Runs every fuzz target for some seconds, from the committed corpus. Ends with "total: N passed, N failed".
#   run.sh [SECONDS] [TARGET...]    (default: 4 seconds each, all targets)
# What crashed is kept in fuzz/artifacts; new inputs go to fuzz/grown, not into the committed corpus.
set -uo pipefail
cd "$(dirname "$0")" || exit 1
case ${1-} in -h | --help) sed -n '2,4s/^# \{0,1\}//p' "$0"; exit 0 ;; esac
seconds=${1:-4}
shift || true
[ $# != 0 ] || set -- $(sed -n 's/^name = "\(.*\)"/\1/p' Cargo.toml | tail -n +2)
export PATH=$HOME/.cargo/bin:$PATH
# The sanitizer's switches are unstable ones; the stable compiler takes them when it is told so.
export RUSTC_BOOTSTRAP=1
cargo fuzz build --fuzz-dir . -O -a 2>&1 | grep -vE '^ +(Compiling|Downloaded|Downloading)' || exit 1
passed=0 failed=0
for target; do
    mkdir -p "grown/$target" "artifacts/$target"
    corpus=()
    [ ! -d "corpus/$target" ] || corpus=("corpus/$target")
    if "target/x86_64-unknown-linux-gnu/release/$target" "grown/$target" "${corpus[@]}" -max_total_time="$seconds" -timeout=20 \
        -rss_limit_mb=4096 -print_final_stats=1 -artifact_prefix="artifacts/$target/" >"grown/$target.log" 2>&1; then
        passed=$((passed + 1))
        echo "ok      $target: $(sed -n 's/^stat::number_of_executed_units: *//p' "grown/$target.log") executions"
    else
        failed=$((failed + 1))
        echo "FAILED  $target"
        tail -40 "grown/$target.log"
    fi
done
echo "total: $passed passed, $failed failed"
[ $failed = 0 ]
