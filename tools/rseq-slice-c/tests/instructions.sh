# shellcheck shell=bash
# SPDX-License-Identifier: MIT OR Apache-2.0
#
# Part of tests/run: the instructions that sections add to one uncontended lock and unlock.

# counted PROGRAM STATE SHAPE: instructions for one lock and unlock, times 1000
counted() {
	local times total=()
	for times in 1000 2000; do
		total+=("$(valgrind --tool=callgrind --callgrind-out-file=/dev/null "$1" "$2" "$3" $times 2>&1 |
			sed -n 's/.*Collected : *//p')")
	done
	[[ -n ${total[0]} && -n ${total[1]} ]] || { echo "callgrind counted nothing" >&2; return 1; }
	echo $((total[1] - total[0]))
}

# built NAME KIND CC FLAG...: the program NAME, with the locks inside or in a shared object
built() {
	local name=$1 kind=$2
	shift 2
	case $kind in
	pie) "$@" -I"$INCLUDE" -fPIE -pie -o "$name" "$HERE/count.c" "$HERE/count-object.c" ;;
	nopie) "$@" -I"$INCLUDE" -fno-pie -no-pie -o "$name" "$HERE/count.c" "$HERE/count-object.c" ;;
	shared)
		"$@" -I"$INCLUDE" -fPIC -shared -o "lib$name.so" "$HERE/count-object.c"
		"$@" -I"$INCLUDE" -o "$name" "$HERE/count.c" -L. "-l$name" -Wl,-rpath,. -Wl,-z,now
		;;
	esac
}

# added KIND CC: within the bars of 12 instructions (15 in a shared object) and 8
added() {
	local kind=$1 cc=$2 bar=12 shape bare on off disabled bad=0
	[[ $kind != shared ]] || bar=15
	built bare "$kind" "$cc" -O2 -DRSEQ_SLICE_DISABLE -DBARE
	built disabled "$kind" "$cc" -O2 -DRSEQ_SLICE_DISABLE
	built full "$kind" "$cc" -O2
	for shape in whole two; do
		bare=$(counted ./bare off $shape)
		disabled=$(counted ./disabled off $shape)
		on=$(counted ./full on $shape)
		off=$(counted ./full off $shape)
		echo "# $cc $kind $shape: lock $((bare / 1000)), on +$(((on - bare) / 1000)), off +$(((off - bare) / 1000))," \
			"compiled out +$(((disabled - bare) / 1000))"
		((on > bare && on - bare <= bar * 1000 && off - bare <= 8000 && disabled == bare)) || bad=1
	done
	return $bad
}

instructions() {
	local cc kind
	for cc in gcc clang; do
		for kind in pie nopie shared; do
			check "instructions_${cc}_$kind" added $kind $cc
		done
	done
}
