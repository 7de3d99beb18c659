// SPDX-License-Identifier: GPL-2.0
/*
 * The lock for Concurrency Kit's benchmark of spin locks, which includes the benchmark as it
 * is: Concurrency Kit's own test-and-set, in a section of rseq_slice.h.
 *
 * FLAGS is the policy. CORES, which the benchmark takes, is the number of CPUs.
 */
#include <ck_spinlock.h>
#include "rseq_slice.h"

#define LOOKS	100	/* between two pauses */

static __thread rseq_slice_t held;

static void take(ck_spinlock_fas_t *lock)
{
	unsigned int looks = 0;

	for (;;) {
		held = rseq_slice_begin();
		if (ck_spinlock_fas_trylock(lock))
			return;
		rseq_slice_end(held);
		while (ck_spinlock_fas_locked(lock))
			if (++looks % LOOKS == 0)
				ck_pr_stall();
	}
}

static void give(ck_spinlock_fas_t *lock)
{
	ck_spinlock_fas_unlock(lock);
	rseq_slice_end(held);
}

#define LOCK_NAME	"rseq_slice"
#define LOCK_DEFINE	static ck_spinlock_fas_t CK_CC_CACHELINE lock = CK_SPINLOCK_FAS_INITIALIZER
#define LOCK_INIT	rseq_slice_policy(FLAGS)
#define LOCK		take(&lock)
#define UNLOCK		give(&lock)

#include "throughput.h"
