/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#ifndef SECTIONS_H
#define SECTIONS_H

#include <errno.h>
#include <pthread.h>
#include <stdio.h>

#include "mock.h"

extern int failed;
extern pthread_spinlock_t a;
extern pthread_mutex_t mutex;

/* The calling thread holds so many locks, and has a request or none. */
#define EXPECT(locks, request) expect(__LINE__, locks, request)
void expect(int line, unsigned long locks, int request);

#define CALL(call, wanted) do {						\
	int got_ = (call);						\
									\
	if (got_ != (wanted)) {						\
		printf("# line %d: %s is %d\n", __LINE__, #call, got_);	\
		failed = 1;						\
	}								\
} while (0)

void interrupted(void);
void kept_errno(void);

#endif
