// SPDX-License-Identifier: MIT OR Apache-2.0
/* Read-write locks, for both readers and writers. A wait sleeps in the C library, outside of the section. */
#include "section.h"

/* The C library finds errors in these arguments before it looks at the lock. */
static inline bool usual(clockid_t clock, const struct timespec *until)
{
	return (clock == CLOCK_REALTIME || clock == CLOCK_MONOTONIC) && until && until->tv_sec >= 0 &&
	       until->tv_nsec >= 0 && until->tv_nsec < 1000000000;
}

#define TAKE(attempt, wait) ({							\
	int error_;								\
										\
	section_enter();							\
	error_ = (attempt);							\
	if (unlikely(error_ == EBUSY)) {					\
		section_suspend();						\
		error_ = (wait);						\
		section_resume();						\
	}									\
	section_taken(error_, __builtin_return_address(0));			\
})

EXPORT int pthread_rwlock_rdlock(pthread_rwlock_t *lock)
{
	if (!config.rwlock)
		return real.rwlock_rdlock(lock);
	return TAKE(real.rwlock_tryrdlock(lock), real.rwlock_rdlock(lock));
}

EXPORT int pthread_rwlock_wrlock(pthread_rwlock_t *lock)
{
	if (!config.rwlock)
		return real.rwlock_wrlock(lock);
	return TAKE(real.rwlock_trywrlock(lock), real.rwlock_wrlock(lock));
}

EXPORT int pthread_rwlock_tryrdlock(pthread_rwlock_t *lock)
{
	if (!config.rwlock)
		return real.rwlock_tryrdlock(lock);
	section_enter();
	return section_taken(real.rwlock_tryrdlock(lock), __builtin_return_address(0));
}

EXPORT int pthread_rwlock_trywrlock(pthread_rwlock_t *lock)
{
	if (!config.rwlock)
		return real.rwlock_trywrlock(lock);
	section_enter();
	return section_taken(real.rwlock_trywrlock(lock), __builtin_return_address(0));
}

EXPORT int pthread_rwlock_timedrdlock(pthread_rwlock_t *lock, const struct timespec *until)
{
	if (!config.rwlock || !usual(CLOCK_REALTIME, until))
		return real.rwlock_timedrdlock(lock, until);
	return TAKE(real.rwlock_tryrdlock(lock), real.rwlock_timedrdlock(lock, until));
}

EXPORT int pthread_rwlock_timedwrlock(pthread_rwlock_t *lock, const struct timespec *until)
{
	if (!config.rwlock || !usual(CLOCK_REALTIME, until))
		return real.rwlock_timedwrlock(lock, until);
	return TAKE(real.rwlock_trywrlock(lock), real.rwlock_timedwrlock(lock, until));
}

EXPORT int pthread_rwlock_clockrdlock(pthread_rwlock_t *lock, clockid_t clock, const struct timespec *until)
{
	if (!config.rwlock || !usual(clock, until))
		return real.rwlock_clockrdlock(lock, clock, until);
	return TAKE(real.rwlock_tryrdlock(lock), real.rwlock_clockrdlock(lock, clock, until));
}

EXPORT int pthread_rwlock_clockwrlock(pthread_rwlock_t *lock, clockid_t clock, const struct timespec *until)
{
	if (!config.rwlock || !usual(clock, until))
		return real.rwlock_clockwrlock(lock, clock, until);
	return TAKE(real.rwlock_trywrlock(lock), real.rwlock_clockwrlock(lock, clock, until));
}

EXPORT int pthread_rwlock_unlock(pthread_rwlock_t *lock)
{
	int error;

	if (!thread.held || !config.rwlock)
		return real.rwlock_unlock(lock);
	error = real.rwlock_unlock(lock);
	if (likely(!error))
		section_exit();
	return error;
}
