# SPDX-License-Identifier: GPL-2.0
#
# Doors to scripts/, nothing else. `make help` lists them.

export APPEND KDIR COMPILER SEED SEEDS PROGRAMS GRANTS TIMES CHROOT

# KDIR= names a tree to work from everywhere, but the tree to work on in apply
# and unapply.
tree = $(or $(KDIR),$(error KDIR=dir is missing: the kernel source tree to work on))

.PHONY: help run test diff matrix model mutants bench bench-check demo-apps shell kernel kernel-c apply unapply \
	install-user check

help:
	@echo 'The rseq time slice extension in Rust: an overlay for Linux 7.3 and newer'
	@echo
	@echo '  make run       from nothing to a demo in QEMU: tools, kernel source, build, boot'
	@echo '  make test      all tests, on the host and in the guest, Rust and C kernel'
	@echo '  make diff      random programs on the Rust and on the C kernel: where do they differ?'
	@echo '  make matrix    tests and churn in other configurations: sanitizers, PREEMPT_RT, LTO ... Takes hours'
	@echo '  make bench     what it costs and what it is good for, against C: a table and a page with pictures'
	@echo '  make bench-check   the figures that matter, judged by bounds, in 5 minutes'
	@echo '  make demo-apps whole programs with and without the extension: a table, judged by bounds, in 15 minutes'
	@echo '  make shell     an interactive guest with the tests and the demo inside'
	@echo '  make kernel    out/rust/bzImage: the guest kernel with the Rust implementation'
	@echo '  make kernel-c  out/c/bzImage: the same with the C implementation'
	@echo '  make check     style gates: rustfmt, clippy, rustdoc, W=1, checkpatch, shellcheck ...'
	@echo '  make model     every state of the model of the implementation, Rust beside C'
	@echo '  make mutants   whether the unit tests of the pure core notice every change to it'
	@echo '  make install-user       the program rseq-slice, libraries, headers, manual pages: PREFIX=/usr/local'
	@echo '  make apply KDIR=dir     lay the overlay over your own kernel tree'
	@echo '  make unapply KDIR=dir   take it away again, to the byte'
	@echo
	@echo 'Variables:'
	@echo '  APPEND="words"          more kernel command line (run, shell, test)'
	@echo '  PREFIX=dir LIBDIR=dir DESTDIR=dir   where to install (install-user)'
	@echo '  KDIR=dir                build from this kernel source, not from Debian'"'"'s (it is copied)'
	@echo '  COMPILER=gcc            kernel by gcc (default: clang of the LLVM that rustc uses)'
	@echo '  SEED=n                  another schedule (test, bench), the first seed (diff, demo-apps)'
	@echo '  SEEDS=n PROGRAMS=n      how many seeds (diff, demo-apps), and random programs over all of them (diff)'
	@echo '  ROW=x                   only this configuration (matrix); scripts/matrix --list names them'
	@echo '  GRANTS=n                another length of the churn (test, matrix)'
	@echo '  TIMES=n                 another length of the sequences (test); with it they run too (matrix)'
	@echo '  CHROOT=dir              a Debian 13 to build one of the configurations in (matrix)'
	@echo '  DEMOS="name ..."        only these (demo-apps): $(shell sed -n "s/^\([a-z][^ ]*\) .*/\1/p" scripts/apps.d/demos)'
	@echo '  FILTER=word             only the configurations with this in their name (model)'
	@echo '  TESTS="part ..."        only these parts (test): $(shell sed -n "s/^ALL=(\(.*\))/\1/p" scripts/test)'
	@echo '                          and those that take long: $(shell sed -n "s/^MORE=(\(.*\))/\1/p" scripts/test)'
	@echo '  RSEQ_SLICE_CACHE=dir    downloads and build folders (default ~/.cache/rseq-slice)'

run:
	@scripts/run demo

shell:
	@scripts/run shell

test:
	@scripts/test $(TESTS)

diff:
	@scripts/diff

matrix:
	@scripts/matrix $(ROW)

bench:
	@scripts/bench

bench-check:
	@scripts/bench --check

demo-apps:
	@scripts/apps $(DEMOS)

kernel:
	@scripts/build rust

kernel-c:
	@scripts/build c

apply unapply:
	@scripts/overlay $@ '$(tree)'

install-user:
	@scripts/install-user

check:
	@scripts/check

model:
	@scripts/model $(FILTER)

mutants:
	@scripts/model --mutants
