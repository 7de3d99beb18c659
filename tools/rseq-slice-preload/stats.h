/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Statistics (RSEQ_SLICE_STATS): counted in memory, written when the process ends. */
#ifndef STATS_H
#define STATS_H

#include "preload.h"

/* Starts counting. The report goes to standard error, or is appended to a file. */
HIDDEN void stats_start(const char *file);

/* A thread was set up: 0, or why it has no extension (RSEQ_SLICE_WHY_*). */
HIDDEN void stats_thread(int why);

/* The caller at site has taken a lock, its first one or another one. */
HIDDEN void stats_taken(const void *site, bool first);

/* The last lock is released, or about to be waited for. */
HIDDEN void stats_held(void);

/* The section is over. There is a grant, which the thread ends, or there is none and the request is gone. */
HIDDEN void stats_yield(void);
HIDDEN void stats_lost(void);

#endif
