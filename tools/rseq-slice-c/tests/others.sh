# shellcheck shell=bash
# SPDX-License-Identifier: MIT OR Apache-2.0
#
# Part of tests/run: what is neither a build of word.c nor a count.

registers() {
	"$@" "${WARN[@]}" -I"$INCLUDE" -rdynamic -o registers "$HERE/registers.c"
	./registers
}

# No instruction of set-up may touch what rseq_slice_enter_v0() does not save.
no_vector_register() {
	"$1" -O3 -march=native -I"$INCLUDE" -c -o ffi.o "$HERE/../ffi.c"
	objdump -d ffi.o | none '%[xyz]mm|%k[0-7]|%mm[0-7]|%st'
}

cplusplus() {
	"$@" -O2 "${WARN[@]}" -I"$INCLUDE" -pthread -o cpp "$HERE/section-cpp.cpp"
	./cpp
}

# host_why: the cause on this machine, if there is one
host_why() {
	printf '%s\n' '#include "rseq_slice.h"' 'int main(void) { return rseq_slice_support(); }' |
		gcc -I"$INCLUDE" -x c -o why - && { ./why || echo $?; }
}

# section.c knows by itself what it has to find on a kernel without the extension.
section_on_host() {
	c -pthread -o section "$HERE/section.c" "$HERE/section-plugin.c"
	./section --off --why 9
	local why
	why=$(host_why)
	[[ -z $why ]] || ./section --why "$why"
}

# What tests/guest does with filter.c, on a kernel without the extension: that the cause is the filter's
# if it refuses a call that set-up makes.
filters_on_host() {
	c -pthread -o filter "$HERE/filter.c"
	export GLIBC_TUNABLES=glibc.pthread.rseq=0
	ulimit -c 0
	local why call answer rc
	why=$(host_why)
	[[ -n $why ]] || { echo "SKIP the kernel has the extension: make guest"; return; }
	for call in rseq prctl yield getpid openat read close; do
		for answer in errno trap kill; do
			case $call-$answer in
			rseq-kill | prctl-kill)
				rc=0
				./filter $call $answer || rc=$?
				((rc == 159)) || { echo "$call $answer: status $rc"; return 1; } ;;
			rseq-* | prctl-*) ./filter $call $answer --why 10 ;;
			*) ./filter $call $answer --why "$why" ;;
			esac
		done
	done
}

absent() {
	c -o absent "$HERE/absent.c"
	./absent
}

layout() {
	c -o layout "$HERE/layout.c"
	./layout
	./layout other
}

# glibc keeps the first object that has an area, the others use that one's; and what has no section
# goes as ever, which shows that this test can see an object go.
unloading() {
	c -o unload "$HERE/unload.c" -ldl
	c -fPIC -shared -o one.so "$HERE/section-plugin.c"
	c -fPIC -shared -o two.so "$HERE/section-plugin.c"
	c -fPIC -shared -DRSEQ_SLICE_DISABLE -o none.so "$HERE/section-plugin.c"
	local found
	[[ $(./unload ./none.so) == "gone same" ]]
	found=$(./unload ./one.so ./two.so)
	echo "# $found"
	[[ $found == "stayed "*" same" ]]
}

# A program that was linked against a C library without __rseq_size finds that of the one it runs with.
old_libc() {
	local link
	stub_libc stub printf exit
	for link in "-fno-pie -no-pie" "-fPIE -pie"; do
		# shellcheck disable=SC2086
		gcc $link -O2 -I"$INCLUDE" -nostartfiles -nodefaultlibs -o why "$HERE/why.c" -Lstub -lc
		LD_DEBUG=bindings ./why 2>&1 | grep "normal symbol \`__rseq_size'" > /dev/null
		LD_DEBUG=bindings ./why 2>&1 | grep "normal symbol \`__rseq_offset'" > /dev/null
	done
}

installed() {
	make -s -C "$HERE/.." O="${out:?}" DESTDIR="$PWD/root" PREFIX=/opt LIBDIR=/opt/lib/here install
	local root=$PWD/root file
	for file in include/rseq_slice.{h,hpp} include/rseq_slice/schedctl.h lib/here/librseq-slice-ffi.{a,so,so.0} \
		lib/here/pkgconfig/rseq-slice{,-ffi}.pc; do
		[[ -e $root/opt/$file ]] || { echo "$file is missing"; return 1; }
	done
	cat "$root"/opt/lib/here/pkgconfig/*.pc | none '@[A-Z]+@'
	local library=$root/opt/lib/here
	readelf -d "$library/librseq-slice-ffi.so" | grep 'SONAME.*\[librseq-slice-ffi.so.0\]' > /dev/null
	readelf -d "$library/librseq-slice-ffi.so" | grep NODELETE > /dev/null
	readelf -d "$library/librseq-slice-ffi.so" | none NEEDED
	# All functions of the header, and nothing else.
	diff <(sed -nE 's/^RSEQ_SLICE_(API|PATH)_ .*[ *](rseq_slice_[a-z_]+)\(.*;$/\2/p' "$INCLUDE/rseq_slice.h" | sort -u) \
		<(nm -D --defined-only "$library/librseq-slice-ffi.so" | sed -n 's/.* T \(.*\)@@.*/\1/p' | sort)
	local source=$HERE/section-plugin.c
	c -DRSEQ_SLICE_OUT_OF_LINE -I"$root/opt/include" -fPIC -shared -o out.so "$source"
	nm out.so | none ' [tTdDbBvVwW] rseq_slice_(begin|support|tls)'
	cat > main.c <<-'END'
		#include <rseq_slice.h>
		int main(void)
		{
			rseq_slice_end(rseq_slice_begin());
			return rseq_slice_support() == RSEQ_SLICE_WHY_SWITCHED_OFF || rseq_slice_policy(0) != -1;
		}
	END
	gcc -DRSEQ_SLICE_OUT_OF_LINE -I"$root/opt/include" -o main main.c -L"$library" -lrseq-slice-ffi
	LD_LIBRARY_PATH=$library ./main
	gcc -DRSEQ_SLICE_OUT_OF_LINE -I"$root/opt/include" -o main main.c "$library/librseq-slice-ffi.a"
	./main
	gcc -I"$root/opt/include" -o main main.c "$library/librseq-slice-ffi.a"
	./main
}

# foreign ARCHITECTURE: word.c, by gcc and qemu-user
foreign() {
	if ! command -v "$1-linux-gnu-gcc" > /dev/null || ! command -v "qemu-$1" > /dev/null; then
		echo "SKIP $1-linux-gnu-gcc or qemu-$1 is not here"
		return
	fi
	local level kind
	for level in 0 2; do
		for kind in -static "-static -fPIC"; do
			# shellcheck disable=SC2086
			"$1-linux-gnu-gcc" -std=c11 -O$level "${WARN[@]}" -I"$INCLUDE" $kind -o word "$HERE"/word{,-other,-main}.c
			"qemu-$1" ./word
		done
		"$1-linux-gnu-gcc" -O$level -I"$INCLUDE" -fPIC -shared -o word.so "$HERE"/word{,-other}.c
		no_tls_call word.so
	done
}

# assembled TARGET CLANG: at least the assembler agrees
assembled() {
	local flag
	if ! "$2" --print-targets | grep "${1%%-*}" > /dev/null; then
		echo "SKIP $2 does not know ${1%%-*}"
		return
	fi
	for flag in -fPIC -fno-pic; do
		"$2" --target="$1" -ffreestanding -O2 "${WARN[@]}" $flag -I"$INCLUDE" -c -o ffi.o "$HERE/../ffi.c"
		nm ffi.o | grep rseq_slice_setup_v0 > /dev/null
	done
}

# without TARGET FLAG...: nothing is left of a section
without() {
	local object=("${@:2}")
	printf '%s\n' '#include "rseq_slice.h"' 'void f(void); void f(void) { RSEQ_SLICE_SECTION(s); }' \
		'int g(void); int g(void) { return rseq_slice_support(); }' > none.c
	clang --target="$1" -ffreestanding -O2 "${WARN[@]}" "${object[@]}" -I"$INCLUDE" -c -o none.o none.c
	[[ $(nm none.o | awk '{ print $NF }' | grep -v '^[.$]' | paste -sd' ') =~ ^_?f\ _?g$ ]]
}

others() {
	local cc clang
	for cc in gcc clang; do
		check "registers_$cc" registers $cc -O2
		check "registers_${cc}_O0" registers $cc -O0
		check "registers_${cc}_native" registers $cc -O2 -march=native
		check "no_vector_register_$cc" no_vector_register $cc
	done
	for cc in g++ clang++; do
		check "cpp_${cc}_11" cplusplus $cc -std=c++11
		check "cpp_${cc}_20" cplusplus $cc -std=c++20
	done
	check section_on_host section_on_host
	check filters_on_host filters_on_host
	check absent absent
	check layout layout
	check unloading unloading
	check old_libc old_libc
	check installed installed
	check foreign_riscv64 foreign riscv64
	check foreign_s390x foreign s390x
	clang=$(compgen -c clang- | grep -E '^clang-[0-9]+$' | sort -t- -k2n | tail -n 1)
	check assembled_loongarch64 assembled loongarch64-linux-gnu "${clang:-clang}"
	check without_arm64 without aarch64-linux-gnu
	check without_x32 without x86_64-linux-gnux32
	check without_by_choice without x86_64-linux-gnu -DRSEQ_SLICE_DISABLE
}
