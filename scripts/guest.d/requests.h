/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Included in front of the base's rseq selftests: code that looks up its area, as
 * each sequence does that is about to start, has a request from there on.
 */
#ifndef REQUESTS_H
#define REQUESTS_H

#include "rseq-thread-pointer.h"

/* How many times as long as in the daily tests a program runs: TIMES=n. */
extern int requests_times;

void requests_look(void);

#define rseq_thread_pointer() ({ requests_look(); rseq_thread_pointer(); })

#endif
