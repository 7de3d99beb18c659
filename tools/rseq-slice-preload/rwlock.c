// SPDX-License-Identifier: MIT OR Apache-2.0
/* Read-write locks, for readers and writers. A thread that waits sleeps in the C library, outside the section. */
#include "section.h"

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

/*
 * Defines the function that locks for readers or writers, the one for everything but its fast path, which
 * is called as the last thing so that the return address is the program's, and the one for a lock
 * that the fast path could not take.
 */
#define LOCK(mode)								\
	COLD static int mode##lock_slowly(pthread_rwlock_t *lock)		\
	{									\
		if (!config.rwlock)						\
			return real.rwlock_##mode##lock(lock);			\
		return TAKE(real.rwlock_try##mode##lock(lock), real.rwlock_##mode##lock(lock));	\
	}									\
										\
	COLD static int mode##lock_contended(pthread_rwlock_t *lock, int error)	\
	{									\
		if (error == EBUSY) {						\
			section_suspend();					\
			error = real.rwlock_##mode##lock(lock);			\
			section_resume();					\
		}								\
		return section_taken(error, NULL);				\
	}									\
										\
	EXPORT int pthread_rwlock_##mode##lock(pthread_rwlock_t *lock)		\
	{									\
		word_t *word = thread.rwlock;					\
		pthread_rwlock_t *kept;						\
		int error;							\
										\
		if (unlikely(busy(word)))					\
			return set(&word[WORD_OFF]) ? real.rwlock_##mode##lock(lock) : mode##lock_slowly(lock);	\
		kept = KEPT(lock);						\
		section_begin(word, lock);					\
		error = real.rwlock_try##mode##lock(lock);			\
		return unlikely(error) ? mode##lock_contended(kept, error) : as_tried(error);	\
	}

LOCK(rd)
LOCK(wr)

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

UNLOCK(rwlock, pthread_rwlock_t)

NAMED_IN_ASSEMBLY COLD int rwlock_unlock_slowly(pthread_rwlock_t *lock)
{
	int error = real.rwlock_unlock(lock);

	if (likely(!error) && config.rwlock)
		section_exit();
	return error;
}
