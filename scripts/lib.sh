# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0
#
# What the scripts in this folder share: messages, places, locks and long
# commands. Sourced, never run.

set -euo pipefail
unset CDPATH

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
OUT=$ROOT/out

# All messages go to stderr: stdout carries results only.
say() { printf '%s\n' "* $*" >&2; }
warn() { printf '%s\n' "warning: $*" >&2; }

# die CAUSE [CURE]
die() {
	printf '%s\n' "${0##*/}: $1" >&2
	[[ $# -lt 2 ]] || printf '%s\n' "  cure: $2" >&2
	exit 1
}

# first: the first line; reads the others too, so that no writer gets SIGPIPE
first() { awk 'NR == 1'; }

# plain WHAT DIR: make and Kbuild split names at spaces, and lists at colons
plain() { [[ $2 != *[[:space:]:]* ]] || die "$1 $2 has a space or a colon in its name" "move it, or link to it from elsewhere"; }

# usage: prints the comment that opens the calling script.
usage() {
	awk 'NR == 1 || /^# SPDX/ { next } /^#/ { sub(/^# ?/, ""); print; next } { exit }' "$0" >&2
	exit "${1:-2}"
}

[[ -n ${RSEQ_SLICE_CACHE:-${XDG_CACHE_HOME:-${HOME:-}}} ]] ||
	die "HOME is not set: where should downloads and builds go?" "RSEQ_SLICE_CACHE=/some/dir"
CACHE=$(realpath -ms "${RSEQ_SLICE_CACHE:-${XDG_CACHE_HOME:-${HOME:-}/.cache}/rseq-slice}")
plain "the checkout" "$ROOT"
plain "the cache" "$CACHE"
mkdir -p "$CACHE" "$OUT"
export ROOT CACHE OUT

# lock NAME: holds a lock of the cache until the script ends. The tree and
# the build folders are shared by all checkouts that use the cache.
lock() {
	local fd
	exec {fd}> "$CACHE/$1.lock"
	if ! flock -n "$fd"; then
		say "waiting for another run that uses '$1'"
		flock "$fd"
	fi
}

# at_least HAVE WANT: is version HAVE the same as WANT or newer?
at_least() {
	[[ $(printf '%s\n%s\n' "$1" "$2" | sort -V | first) == "$2" ]]
}

# old_rustc: $RUSTC cannot build lock_api 0.5, nor the crates that need it: RECENT
# shellcheck disable=SC2034  # for scripts that source this
RECENT=(rseq-slice-locks rseq_slice_count)
old_rustc() { ! at_least "$("$RUSTC" --version | cut -d' ' -f2)" 1.95; }

# complaints LOG...: prints what the kernels complained of on these consoles.
# Fails if they did not.
complaints() {
	local words='WARNING: |BUG: |BUG at |UBSAN: |Oops: |Kernel panic|Call Trace:|INFO: .* (stall|hung|blocked for)'
	words+='|INFO: trying to register|scheduling while atomic|CFI failure|panicked at|unchecked MSR access|(add|del) corruption'
	grep -ahE "^\\[ *[0-9.]+\\].*($words)" "$@"
}

# progress LOG TITLE CMD...: runs CMD with all its output in LOG. A terminal
# sees the last line as it changes, a file sees one line every 15 seconds.
progress() {
	local log=$1 title=$2 rc=0 start=$SECONDS pid outer
	shift 2
	# The caller's own clean-up, as one word.
	outer=$(trap -p EXIT)
	outer=${outer#trap -- }
	eval "outer=${outer% EXIT}"
	say "$title (log: $log)"
	# A process group of its own, so that nothing of it survives this script.
	set -m
	"$@" > "$log" 2>&1 < /dev/null &
	pid=$!
	set +m
	# shellcheck disable=SC2064
	trap "kill -- -$pid 2> /dev/null || :; $outer" EXIT
	trap 'exit 130' INT TERM
	local tick=0 line
	while kill -0 "$pid" 2> /dev/null; do
		sleep 0.5
		tick=$((tick + 1))
		if [[ -t 2 ]]; then
			line=$(tail -n1 "$log" | tr -dc '[:print:]')
			printf '\r\e[K  %4ds %.70s' $((SECONDS - start)) "$line" >&2
		elif ((tick % 30 == 0)); then
			line=$(tail -n1 "$log" | tr -dc '[:print:]')
			printf '  %4ds %6d lines  %.70s\n' $((SECONDS - start)) \
				"$(wc -l < "$log")" "$line" >&2
		fi
	done
	wait "$pid" || rc=$?
	trap - INT TERM
	# shellcheck disable=SC2064
	trap "${outer:--}" EXIT
	[[ ! -t 2 ]] || printf '\r\e[K' >&2
	return "$rc"
}
