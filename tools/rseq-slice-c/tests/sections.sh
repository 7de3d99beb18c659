# shellcheck shell=bash
# SPDX-License-Identifier: MIT OR Apache-2.0
#
# Part of tests/run: word.c in every way in which it can be built.

# exports FILE: what it shows other objects of the header's, and of the test
exports() { nm -D --defined-only "$1" 2> /dev/null | awk '$3 ~ /rseq|word|other/ { print $3 }' | sort | paste -sd' '; }

no_tls_call() {
	{ nm "$@" && nm -D "$@"; } 2> /dev/null | none ' U __tls_get_(addr|offset)'
}

# section KIND COMPILER FLAG...: builds and runs word.c as KIND
section() {
	local kind=$1 cc=("${@:2}") flags=() link=() language=()
	local sources=("$HERE/word.c" "$HERE/word-other.c") main=("$HERE/word-main.c")
	[[ $2 != *++ ]] || language=(-x c++)
	case $kind in
	pie) flags=(-fPIE) link=(-pie) ;;
	nopie) flags=(-fno-pie) link=(-no-pie) ;;
	static) flags=(-fno-pie) link=(-static) ;;
	staticpie) flags=(-fPIE) link=(-static-pie) ;;
	shared) flags=(-fPIC) link=(-shared "-Wl,-z,defs") main=() ;;
	esac
	"${cc[@]}" "${WARN[@]}" -I"$INCLUDE" "${flags[@]}" "${language[@]}" "${sources[@]}" "${main[@]}" -x none "${link[@]}" -o word
	if [[ $kind == shared ]]; then
		[[ $(exports word) == "rseq_slice_home_v0 word_test" ]] || { echo "exported: $(exports word)"; return 1; }
		no_tls_call word
		mv word libword.so
		"${cc[@]}" "${WARN[@]}" -I"$INCLUDE" "${language[@]}" "$HERE/word-main.c" -x none -L. -lword -Wl,-rpath,. -o word
	fi
	[[ -z $(exports word) ]] || { echo "exported: $(exports word)"; return 1; }
	[[ $kind == static* ]] || no_tls_call word
	./word
}

# Two languages in one object share one state.
mixed() {
	gcc -O2 "${WARN[@]}" -I"$INCLUDE" -c "$HERE/word.c" "$HERE/word-main.c"
	clang++ -std=c++20 -O1 "${WARN[@]}" -I"$INCLUDE" -x c++ -c "$HERE/word-other.c"
	g++ -o word word.o word-main.o word-other.o
	./word
}

sections() {
	local cc level kind lto std
	for kind in pie nopie static staticpie shared; do
		for level in 0 1 2 3; do
			for lto in "" -flto; do
				for cc in gcc clang; do
					check "section_${cc}_c11_${kind}_O$level$lto" section $kind $cc -std=c11 -O$level $lto
				done
				((level == 0 || level == 2)) || continue
				for cc in g++ clang++; do
					for std in 11 20; do
						check "section_${cc}_c++${std}_${kind}_O$level$lto" section $kind $cc -std=c++$std -O$level $lto
					done
				done
			done
		done
	done
	for kind in pie shared; do
		for cc in gcc clang; do
			check "section_${cc}_${kind}_lld" section $kind $cc -O2 -fuse-ld=lld
			check "section_${cc}_${kind}_intel" section $kind $cc -O2 -masm=intel
			check "section_${cc}_${kind}_native" section $kind $cc -O3 -march=native
			check "section_${cc}_${kind}_untabled" section $kind $cc -O2 -fno-asynchronous-unwind-tables -fno-unwind-tables
			check "section_${cc}_${kind}_profiled" section $kind $cc -O2 -pg -finstrument-functions
			check "section_${cc}_${kind}_gc" section $kind $cc -O2 -ffunction-sections -fdata-sections -Wl,--gc-sections
		done
		check "section_gcc_${kind}_bsymbolic" section $kind gcc -O2 -Wl,-Bsymbolic
		check "section_gcc_${kind}_address" section $kind gcc -O1 -fsanitize=address,undefined
		check "section_gcc_${kind}_thread" section $kind gcc -O1 -fsanitize=thread
	done
	check section_mixed mixed
}
