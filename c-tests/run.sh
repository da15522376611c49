#!/bin/bash
# Compiles the C tests against an installed copy of the library, through pkg-config, and runs them plain,
# under the sanitizers and under valgrind. Ends with "total: N passed, N failed".
#   run.sh STAGE    (SVIRT_FORKS=N: how many children are made among busy threads, 2000 when not set)
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
root=$here/..
stage=$1
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT
export PKG_CONFIG_PATH=$stage/lib/pkgconfig LD_LIBRARY_PATH=$stage/lib
passed=0 failed=0

# step NAME COMMAND...
step() {
    local name=$1
    shift
    if "$@" >"$out/log" 2>&1; then
        passed=$((passed + 1))
        echo "ok      $name"
    else
        failed=$((failed + 1))
        echo "FAILED  $name"
        cat "$out/log"
    fi
}
# compile TEST SUFFIX FLAGS...
compile() {
    local test=$1 suffix=$2
    shift 2
    # shellcheck disable=SC2046
    cc -std=c11 -D_GNU_SOURCE -Wall -Wextra -Werror -g "$@" -o "$out/$test$suffix" "$here/$test.c" \
        $(pkg-config --cflags --libs svirt) -lcmocka -lpthread
}

echo '#include <svirt.h>' >"$out/header.c"
echo 'int main(void) { return svirt_version() == 0; }' >>"$out/header.c"
cp "$out/header.c" "$out/header.cpp"
# shellcheck disable=SC2046
step "header as C11" cc -std=c11 -Wall -Wextra -Werror -pedantic $(pkg-config --cflags svirt) -fsyntax-only "$out/header.c"
# shellcheck disable=SC2046
step "header as C++17" c++ -std=c++17 -Wall -Wextra -Werror -pedantic $(pkg-config --cflags svirt) -fsyntax-only "$out/header.cpp"
# Types and macros of a program that includes the header are its own, but for those with our prefix.
only_our_names() {
    local names
    names=$(
        {
            sed -nE 's/^typedef .*[^A-Za-z0-9_]([A-Za-z0-9_]+);$/\1/p; s/^typedef .*\(\*([A-Za-z0-9_]+)\)\(.*/\1/p' "$1"
            sed -nE 's/^\} ([A-Za-z0-9_]+);$/\1/p; s/^#define ([A-Za-z0-9_]+).*/\1/p' "$1"
            sed -nE 's/^(typedef )?(struct|union|enum) ([A-Za-z0-9_]+).*/\3/p' "$1"
        } | sort -u
    )
    grep -q '^svirt_image$' <<<"$names" && ! grep -vE '^(svirt_|SVIRT_)' <<<"$names"
}
step "names in the header" only_our_names "$root/include/svirt.h"
step "soname" grep -q 'libsvirt.so.0]' <(readelf -d "$stage/lib/libsvirt.so" | grep SONAME)
step "never unloaded" grep -q NODELETE <(readelf -d "$stage/lib/libsvirt.so")
step "exported symbols" diff "$root/abi/symbols.txt" <(nm -D --defined-only "$stage/lib/libsvirt.so" | awk '{print $3}' | sort)

for test in test_input test_contract test_dac test_hotplug test_child; do
    step "$test compiles" compile "$test" ""
    step "$test" "$out/$test"
    step "$test compiles with sanitizers" compile "$test" .asan -fsanitize=address,undefined -fno-sanitize-recover=all
    step "$test, ASan + UBSan + LSan" env ASAN_OPTIONS=detect_leaks=1 "$out/$test.asan"
done
# A traced child cannot be traced again, so the child test runs under the sanitizers only.
for test in test_input test_contract test_dac test_hotplug; do
    step "$test, valgrind" valgrind -q --error-exitcode=9 --leak-check=full --errors-for-leak-kinds=definite \
        --child-silent-after-fork=yes "$out/$test"
done
# As user 65534, with that user's directories in the environment; such a program finds libraries by its own path only.
as_a_user() {
    (cd / && setpriv --reuid 65534 --regid 65534 --clear-groups env XDG_RUNTIME_DIR="$out/user" \
        XDG_STATE_HOME="$out/user" HOME="$out/user" "$@")
}
setuid_program() {
    chmod 711 "$out" && mkdir "$out/setuid" && cp "$stage/lib/libsvirt.so.0" "$out/setuid/" &&
        compile test_setuid "" -Wl,-rpath,"$out/setuid" && mkdir -m700 "$out/user" &&
        chown 65534:65534 "$out/user" && as_a_user "$out/test_setuid" plain && [ -d "$out/user/svirt" ] &&
        rm -r "$out/user/svirt" && chown 65533 "$out/test_setuid" && chmod 4755 "$out/test_setuid" &&
        as_a_user "$out/test_setuid" && [ ! -e "$out/user/svirt" ]
}
step "test_setuid" setuid_program
# The program that README shows is compiled as README says, and confines one that prints its disk's owner.
readme_program() {
    sed -n '/^```c$/,/^```$/p' "$root/README.md" | sed '1d;$d' >"$out/confine.c"
    # shellcheck disable=SC2046
    cc -Wall -Wextra -Werror -o "$out/confine" "$out/confine.c" $(pkg-config --cflags --libs svirt) &&
        chmod 711 "$out" && install -m600 /dev/null "$out/disk" &&
        owner=$("$out/confine" "$out/disk" stat -c %u "$out/disk") && [ "$owner" -ge 100000 ] &&
        [ "$("$out/confine" "$out/disk" id -u)" -ge 100000 ] &&
        [ "$(stat -c %u "$out/disk")" = 0 ] && ! "$out/confine" "$out/missing" true
}
step "README's program" readme_program
(cd "$root" && cargo build -q --locked --features panic-for-tests --target-dir target/panic)
step "test_panic compiles" compile test_panic ""
mkdir "$out/panic" && cp "$root/target/panic/debug/libsvirt.so" "$out/panic/libsvirt.so.0"
step "test_panic" env LD_LIBRARY_PATH="$out/panic" "$out/test_panic"
echo "total: $passed passed, $failed failed"
[ $failed = 0 ]
