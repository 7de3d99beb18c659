// SPDX-License-Identifier: MIT OR Apache-2.0
/*
 * Mutexes. A thread that waits for one sleeps in the C library, outside the section. Two kinds are left
 * to the C library: PTHREAD_PRIO_PROTECT, because taking such a mutex is a system call, which ends a
 * grant; and robust mutexes, because the C library's trylock leaves one locked that is not recoverable.
 */
#include "section.h"

/* The bits of a mutex' kind that the C library's header leaves without a name. */
#define KIND_TYPE 0x3
#define KIND_ROBUST 0x10
#define KIND_INHERIT 0x20
#define KIND_PROTECT 0x40

void mutex_select(bool all, bool adaptive)
{
	config.mutex_mask = all || adaptive ? KIND_ROBUST | KIND_PROTECT : 0;
	config.mutex_mask |= adaptive && !all ? KIND_TYPE : 0;
	config.mutex_want = all ? 0 : adaptive ? PTHREAD_MUTEX_ADAPTIVE_NP : -1;
	config.mutex = all || adaptive;
}

static inline bool selected(const pthread_mutex_t *mutex)
{
	return mutex_selected(mutex->__data.__kind);
}

/*
 * The mutex could not be taken in the section that the thread is in. Looks whether it becomes free
 * in time to be taken with a request; if not, the thread may wait. A mutex that the kernel hands over
 * by priority is not looked at.
 */
COLD static int try_again(pthread_mutex_t *mutex)
{
	const volatile int *word = &mutex->__data.__lock;
	unsigned int left = mutex->__data.__kind & KIND_INHERIT ? 0 : config.looks;
	int error = EBUSY;

	section_suspend();
	while (left-- && error == EBUSY) {
		if (*word)
			continue;
		section_resume();
		error = real.mutex_trylock(mutex);
		if (error == EBUSY)
			section_suspend();
	}
	return error;
}

/* Takes a mutex: by trylock in a section, or else as the expression says, outside it. */
#define TAKE(mutex, wait) ({							\
	int error_;								\
										\
	section_enter();							\
	error_ = real.mutex_trylock(mutex);					\
	if (unlikely(error_ == EBUSY)) {					\
		error_ = try_again(mutex);					\
		if (error_ == EBUSY) {						\
			error_ = (wait);					\
			section_resume();					\
		}								\
	}									\
	section_taken(error_, __builtin_return_address(0));			\
})

/* Called as the last thing of a function, so that the return address is the program's. */
COLD static int lock_slowly(pthread_mutex_t *mutex)
{
	if (!selected(mutex))
		return real.mutex_lock(mutex);
	return TAKE(mutex, real.mutex_lock(mutex));
}

/* The fast path could not take the mutex. */
COLD static int lock_contended(pthread_mutex_t *mutex, int error)
{
	if (error == EBUSY)
		error = try_again(mutex);
	if (error == EBUSY) {
		error = real.mutex_lock(mutex);
		section_resume();
	}
	return section_taken(error, NULL);
}

EXPORT int pthread_mutex_lock(pthread_mutex_t *mutex)
{
	word_t *word = thread.mutex;
	uintptr_t bits = thread.omitted[(unsigned char)mutex->__data.__kind];
	pthread_mutex_t *kept;
	int error;

	bits = with(bits, &word[WORD_REQUEST]);
	if (unlikely(held_or(with(bits, &word[WORD_GRANTED]))))
		return set(&word[WORD_OFF]) ? real.mutex_lock(mutex) : lock_slowly(mutex);
	kept = KEPT(mutex);
	section_begin(word, mutex);
	error = real.mutex_trylock(mutex);
	return unlikely(error) ? lock_contended(kept, error) : as_tried(error);
}

EXPORT int pthread_mutex_trylock(pthread_mutex_t *mutex)
{
	if (!selected(mutex))
		return real.mutex_trylock(mutex);
	section_enter();
	return section_taken(real.mutex_trylock(mutex), __builtin_return_address(0));
}

EXPORT int pthread_mutex_timedlock(pthread_mutex_t *mutex, const struct timespec *until)
{
	if (!selected(mutex) || !usual(CLOCK_REALTIME, until))
		return real.mutex_timedlock(mutex, until);
	return TAKE(mutex, real.mutex_timedlock(mutex, until));
}

EXPORT int pthread_mutex_clocklock(pthread_mutex_t *mutex, clockid_t clock, const struct timespec *until)
{
	if (!selected(mutex) || !usual(clock, until))
		return real.mutex_clocklock(mutex, clock, until);
	return TAKE(mutex, real.mutex_clocklock(mutex, clock, until));
}

UNLOCK(mutex, pthread_mutex_t)

NAMED_IN_ASSEMBLY COLD int mutex_unlock_slowly(pthread_mutex_t *mutex)
{
	int error;

	if (!selected(mutex))
		return real.mutex_unlock(mutex);
	error = real.mutex_unlock(mutex);
	if (likely(!error))
		section_exit();
	return error;
}
