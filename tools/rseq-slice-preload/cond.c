// SPDX-License-Identifier: MIT OR Apache-2.0
/*
 * A wait for a condition variable releases the mutex and takes it again inside the C library. The
 * section ends before. If the wait is cancelled, the thread holds the mutex without a section.
 */
#include "section.h"

#define WAIT(wait) ({								\
	int error_;								\
										\
	if (config.stats)							\
		stats_held();							\
	section_suspend();							\
	error_ = (wait);							\
	section_resume();							\
	if (config.stats)							\
		stats_taken(__builtin_return_address(0), true);			\
	error_;									\
})

/*
 * If condition variables of another layout have the same names under an older version, they are left
 * to the C library.
 */
#ifdef COND_VERSION
#define COND(name) name##_versioned
#define NAMED(name, version) NAMED_(name, version)
#define NAMED_(name, version) VERSIONED(name##_versioned, name, version)
EXPORT int pthread_cond_wait_versioned(pthread_cond_t *, pthread_mutex_t *);
EXPORT int pthread_cond_timedwait_versioned(pthread_cond_t *, pthread_mutex_t *, const struct timespec *);
NAMED(pthread_cond_wait, COND_VERSION);
NAMED(pthread_cond_timedwait, COND_VERSION);
#else
#define COND(name) name
#endif

EXPORT int COND(pthread_cond_wait)(pthread_cond_t *cond, pthread_mutex_t *mutex)
{
	if (!thread.held)
		return real.cond_wait(cond, mutex);
	return WAIT(real.cond_wait(cond, mutex));
}

EXPORT int COND(pthread_cond_timedwait)(pthread_cond_t *cond, pthread_mutex_t *mutex, const struct timespec *until)
{
	if (!thread.held)
		return real.cond_timedwait(cond, mutex, until);
	return WAIT(real.cond_timedwait(cond, mutex, until));
}

EXPORT int pthread_cond_clockwait(pthread_cond_t *cond, pthread_mutex_t *mutex, clockid_t clock,
				  const struct timespec *until)
{
	if (!thread.held)
		return real.cond_clockwait(cond, mutex, clock, until);
	return WAIT(real.cond_clockwait(cond, mutex, clock, until));
}
