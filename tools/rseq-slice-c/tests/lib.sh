# shellcheck shell=bash
# SPDX-License-Identifier: MIT OR Apache-2.0
#
# Common ground of the scripts in this folder. Sourced, never run.

set -euo pipefail
unset CDPATH

HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
INCLUDE=$HERE/../include
WARN=(-Wall -Wextra -Wpedantic -Wshadow -Wconversion -Werror)

die() { printf '%s\n' "${0##*/}: $1" ${2:+"  cure: $2"} >&2; exit 1; }
need() {
	local tool
	for tool; do
		command -v "$tool" > /dev/null ||
			die "$tool is missing" "apt-get install gcc g++ clang lld musl-tools valgrind binutils"
	done
}

# none PATTERN: whether no line of what comes matches; shows those that do
none() { if grep -E "$1"; then return 1; fi; }

# c ARG...: gcc for the tests
c() { "${CC:-gcc}" -std=c11 -O2 "${WARN[@]}" -I"$INCLUDE" "$@"; }

# stub_libc DIR: what an older C library looks like to a linker: a libc.so that defines what a small
# program needs, and no __rseq_size. The symbols lack versions, so that the real one takes its place.
stub_libc() {
	local symbol
	mkdir -p "$1"
	for symbol in __libc_start_main "${@:2}"; do
		echo "void $symbol(void); void $symbol(void) {}"
	done > "$1/stub.c"
	gcc -w -fno-builtin -shared -fPIC -nostdlib -Wl,-soname,libc.so.6 -o "$1/libc.so" "$1/stub.c"
}
