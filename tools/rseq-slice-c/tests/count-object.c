/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#include "count.h"
#include "rseq_slice.h"

/* The count must not depend on how a compiler lays out a wait that is never entered: there is none. */
static inline void acquire(int *lock)
{
	if (__atomic_exchange_n(lock, 1, __ATOMIC_ACQUIRE))
		__builtin_trap();
}

static inline void release(int *lock)
{
	__atomic_store_n(lock, 0, __ATOMIC_RELEASE);
}

void count_use(volatile unsigned char *word)
{
#if RSEQ_SLICE_SUPPORTED
	rseq_slice_tls_v0 = word;
#else
	(void)word;
#endif
}

void count_whole(int *lock, long *counter)
{
	rseq_slice_t token = rseq_slice_begin();

	acquire(lock);
	++*counter;
	release(lock);
	rseq_slice_end(token);
}

#ifdef BARE
void *count_lock(int *lock)
{
	acquire(lock);
	return 0;
}

void count_unlock(int *lock, void *token)
{
	(void)token;
	release(lock);
}
#else
void *count_lock(int *lock)
{
	rseq_slice_t token = rseq_slice_begin();

	acquire(lock);
	return (void *)(unsigned long)token.ctrl;
}

void count_unlock(int *lock, void *ctrl)
{
	rseq_slice_t token;

	token.ctrl = (volatile unsigned char *)ctrl;
	release(lock);
	rseq_slice_end(token);
}
#endif
