# shellcheck shell=sh
# SPDX-License-Identifier: GPL-2.0
#
# Common ground of the demos in the guest. Sourced.

APPS=/usr/lib/apps
export LD_LIBRARY_PATH=$APPS/lib

# extension NS: sets its length
extension() { echo "$1" > /sys/kernel/debug/rseq/slice_ext_nsec || exit 1; }
cpus=$(grep -c ^processor /proc/cpuinfo)

# preloaded off|on KINDS COMMAND...: becomes the command with the preload library
# in front of $LD_PRELOAD and around its locks of these kinds, with the extension
# or without. Needs a shell of its own
preloaded() {
	# As the distribution ships the C library: it registers its area.
	unset GLIBC_TUNABLES
	case $1 in
	off) export RSEQ_SLICE=off && how= ;;
	on) how=--require ;;
	esac
	kinds=$2
	shift 2
	exec rseq-slice run --take-over $how --locks "$kinds" "$@"
}

# The counters of the kernel, in the order granted, expired, revoked, yielded, aborted.
counters() {
	awk '{ sub(":", "", $1); n[$1] = $2 }
		END { print n["sgrant"] + 0, n["sexpir"] + 0, n["srevok"] + 0, n["syield"] + 0, n["sabort"] + 0 }' \
		/sys/kernel/debug/rseq/stats
}

# row DEMO VARIANT THREADS OPERATIONS NS BEFORE AFTER [MORE]: prints a result, MORE
# being further members of the JSON object
row() {
	echo "$6 $7" | awk -v "head={\"demo\":\"$1\",\"variant\":\"$2\",\"threads\":$3,\"cpus\":$cpus,\"operations\":$4,\"ns\":$5" \
		-v "more=$8" '{
		printf "%s", head
		split("granted expired revoked yielded aborted", name, " ")
		for (i = 1; i <= 5; i++) printf ",\"%s\":%d", name[i], $(i + 5) - $i
		print (more == "" ? "" : "," more) "}"
	}'
}
