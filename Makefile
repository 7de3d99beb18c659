# SPDX-License-Identifier: GPL-2.0
#
# Names for what scripts/ does. `make help` lists them.

export APPEND KDIR COMPILER SEED SEEDS PROGRAMS GRANTS TIMES ROUNDS JOBS CHROOT NO_BUILD

# KDIR= names a tree to work from everywhere, but the tree to work on in apply
# and unapply.
tree = $(or $(KDIR),$(error KDIR=dir is missing: the kernel source tree to work on))

.PHONY: help run test diff matrix model mutants bench bench-check demo-apps shell kernel kernel-c apply unapply \
	install-user check readme clean

help:
	@echo 'The rseq time slice extension in Rust: an overlay for Linux 7.3 and newer'
	@echo
	@echo '  make run       from nothing to a demo in QEMU: tools, kernel source, build, boot'
	@echo '  make shell     an interactive guest with the tests and the demo inside'
	@echo '  make kernel    out/rust/bzImage: the guest kernel with the Rust implementation'
	@echo '  make kernel-c  out/c/bzImage: the same with the C implementation'
	@echo '  make test      all tests, on the host and in the guest, Rust and C kernel        10-15 min'
	@echo '  make check     style: rustfmt, clippy, rustdoc, W=1, checkpatch, words ...          2-5 min'
	@echo '  make model     every state of the model of the implementation, Rust beside C          1 min'
	@echo '  make mutants   do the unit tests of the pure core notice every change to it?          5 min'
	@echo '  make diff      random programs on the Rust and on the C kernel: do they differ?'
	@echo '  make matrix    tests and churn with sanitizers, PREEMPT_RT, LTO ...                   hours'
	@echo '  make bench     cost and effect, compared with C: tables, and a page with pictures    10 min'
	@echo '  make bench-check   the figures that matter, judged by bounds                        2-6 min'
	@echo '  make demo-apps     whole programs without and with the extension, judged by bounds   15 min'
	@echo '  make readme        records complete results, and writes the numbers in README.md'
	@echo '  make install-user  the program rseq-slice, libraries, headers, manual pages'
	@echo '  make apply KDIR=dir     lay the overlay over your own kernel tree'
	@echo '  make unapply KDIR=dir   remove it again, to the byte'
	@echo '  make clean     removes out/; the cache stays'
	@echo
	@echo 'Times are for two processors and built kernels. A kernel build takes 4-8 minutes.'
	@echo
	@echo 'Variables:'
	@echo '  TESTS="part ..."        only these parts (test): $(shell sed -n "s/^ALL=(\(.*\))/\1/p" scripts/test)'
	@echo '                          and those that take long: $(shell sed -n "s/^MORE=(\(.*\))/\1/p" scripts/test)'
	@echo '  FILTER=word             only guest tests (test; in the parts rust and c, without TESTS=)'
	@echo '                          or configurations (model) with this in their name'
	@echo '  DEMOS="name ..."        only these (demo-apps): $(shell sed -n "s/^\([a-z][^ ]*\) .*/\1/p" scripts/apps.d/demos)'
	@echo '  CHECKS="name ..."       only these (check): $(shell sed -n "s/^CHECKS=(\(.*\))/\1/p" scripts/check)'
	@echo '  ROW=x                   only this configuration (matrix); scripts/matrix --list names them'
	@echo '  SEED=n                  another schedule (test, bench), the first seed (diff, demo-apps)'
	@echo '  SEEDS=n PROGRAMS=n      number of seeds (diff, demo-apps), and of random programs over all of them (diff)'
	@echo '  GRANTS=n TIMES=n ROUNDS=n   length of the churn (test, matrix), of the sequences (test; with it they'
	@echo '                          run in matrix too), and of the load (test)'
	@echo '  APPEND="words"          more kernel command line (run, shell, test)'
	@echo '  COMPILER=gcc            kernel by gcc (default: clang of the LLVM that rustc uses)'
	@echo '  KDIR=dir                build from this kernel source, not from Debian'"'"'s (it is copied)'
	@echo '  JOBS=n                  parallel jobs of a build (matrix)'
	@echo '  NO_BUILD=1              use the kernels and the guest in out/ as they are (bench, bench-check, demo-apps)'
	@echo '  CHROOT=dir              a Debian 13 to build one of the configurations in (matrix)'
	@echo '  PREFIX=dir LIBDIR=dir DESTDIR=dir   where to install (install-user; default /usr/local)'
	@echo '  RSEQ_SLICE_CACHE=dir    downloads and build folders (default ~/.cache/rseq-slice)'

run:
	@scripts/run demo

shell:
	@scripts/run shell

test:
	@scripts/test $(or $(TESTS),$(and $(FILTER),rust c)) $(and $(FILTER),-- $(FILTER))

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

readme:
	@scripts/readme

kernel:
	@scripts/build rust

kernel-c:
	@scripts/build c

apply unapply:
	@scripts/overlay $@ '$(tree)'

install-user:
	@scripts/install-user

check:
	@scripts/check $(CHECKS)

model:
	@scripts/model $(FILTER)

mutants:
	@scripts/model --mutants

clean:
	rm -rf out tools/target
