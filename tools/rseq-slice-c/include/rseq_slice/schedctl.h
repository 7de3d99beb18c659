/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * schedctl.h - the preemption control of Solaris, over rseq_slice.h.
 *
 * schedctl_start() and schedctl_stop() may nest: the outermost pair is one section. They also nest
 * with other sections of the thread, in either order. If there is no extension, schedctl_init()
 * returns NULL, and with NULL the functions do nothing.
 */
#ifndef RSEQ_SLICE_SCHEDCTL_H
#define RSEQ_SLICE_SCHEDCTL_H

#include "../rseq_slice.h"

/* Opaque. A thread uses its own only. */
typedef struct rseq_slice_schedctl schedctl_t;

#ifdef __cplusplus
extern "C" {
#endif

#if RSEQ_SLICE_SUPPORTED && !defined(RSEQ_SLICE_OUT_OF_LINE)

struct rseq_slice_schedctl_v0 {
	rseq_slice_t token;
	unsigned int depth;
};

extern __thread struct rseq_slice_schedctl_v0 rseq_slice_schedctl_v0 RSEQ_SLICE_TLS_;
RSEQ_SLICE_TLS_ __thread struct rseq_slice_schedctl_v0 rseq_slice_schedctl_v0 = { { 0 }, 0 };

RSEQ_SLICE_INLINE_ schedctl_t *schedctl_init(void)
{
	return rseq_slice_ctrl() ? (schedctl_t *)(void *)&rseq_slice_schedctl_v0 : (schedctl_t *)0;
}

RSEQ_SLICE_INLINE_ void schedctl_start(schedctl_t *self)
{
	struct rseq_slice_schedctl_v0 *own = (struct rseq_slice_schedctl_v0 *)(void *)self;
	rseq_slice_t token;

	if (!own)
		return;
	token = rseq_slice_begin();
	/*
	 * There is a token: no section was open, or the kernel has refused its request or ended its grant.
	 * This section has made the request.
	 */
	if (token.ctrl) {
		own->token = token;
		own->depth = 1;
	} else if (own->depth) {
		own->depth++;
	}
}

RSEQ_SLICE_INLINE_ void schedctl_stop(schedctl_t *self)
{
	struct rseq_slice_schedctl_v0 *own = (struct rseq_slice_schedctl_v0 *)(void *)self;

	if (own && own->depth && --own->depth == 0)
		rseq_slice_end(own->token);
}

#else

RSEQ_SLICE_INLINE_ schedctl_t *schedctl_init(void) { return (schedctl_t *)0; }
RSEQ_SLICE_INLINE_ void schedctl_start(schedctl_t *self) { (void)self; }
RSEQ_SLICE_INLINE_ void schedctl_stop(schedctl_t *self) { (void)self; }

#endif

/* What schedctl_init() of this thread has returned. */
RSEQ_SLICE_INLINE_ schedctl_t *schedctl_lookup(void)
{
	return schedctl_init();
}

/* There is nothing to release. */
RSEQ_SLICE_INLINE_ void schedctl_exit(void) {}

#ifdef __cplusplus
}
#endif

#endif /* RSEQ_SLICE_SCHEDCTL_H */
