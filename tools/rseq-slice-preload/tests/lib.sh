# shellcheck shell=bash
# SPDX-License-Identifier: MIT OR Apache-2.0
#
# Common ground of the scripts in this folder. Sourced, never run.

set -euo pipefail
unset CDPATH

HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
HEADERS=$HERE/../../rseq-slice-c/include

die() { printf '%s\n' "${0##*/}: $1" ${2:+"  cure: $2"} >&2; exit 1; }
need() {
	local tool
	for tool; do
		command -v "$tool" > /dev/null || die "$tool is missing" "apt-get install gcc binutils valgrind"
	done
}

# c ARG...: the compiler, as for all programs here
c() { "${CC:-gcc}" -std=gnu11 -D_GNU_SOURCE -O2 -g -Wall -Wextra -Wshadow -Werror -I"$HEADERS" "$@"; }

# build_mocked DIR: what tests sections on the kernel of mock.c
build_mocked() {
	mkdir -p "$1"
	c -fPIC -shared -o "$1/mock.so" "$HERE/mock.c"
	c -pthread -o "$1/contest" "$HERE/contest.c"
	c -pthread -o "$1/sections" "$HERE"/sections{,-signals}.c "$1/mock.so"
}

# build_programs DIR: the programs of this folder
build_programs() {
	local program
	build_mocked "$1"
	c -fPIC -shared -fno-builtin -o "$1/early.so" "$HERE/early.c"
	for program in count semantics shared why; do
		c -pthread -o "$1/$program" "$HERE/$program.c"
	done
	c -o "$1/restartable" "$HERE/restartable.c"
	c -fopenmp -o "$1/openmp" "$HERE/openmp.c"
	c -fopenmp -DMOCK -o "$1/openmp-mock" "$HERE/openmp.c" "$1/mock.so"
	c -fopenmp -fPIC -shared -DOBJECT -o "$1/openmp.so" "$HERE/openmp.c"
	c -o "$1/plugin" "$HERE/plugin.c"
}
