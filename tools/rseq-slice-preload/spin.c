// SPDX-License-Identifier: MIT OR Apache-2.0
/* pthread_spin_lock(), pthread_spin_trylock() and pthread_spin_unlock(). */
#include "section.h"

/* Until the lock looks free. Looking does not write, so that the holder keeps the cache line. */
static void look(pthread_spinlock_t *lock)
{
	unsigned int left = config.looks;

	while (*lock != config.spin_free) {
		if (!--left) {
			relax();
			left = config.looks;
		}
	}
}

/* The lock could not be taken in the section that the thread is in. */
COLD static int wait_in_section(pthread_spinlock_t *lock, const void *site)
{
	int error;

	do {
		section_suspend();
		look(lock);
		section_resume();
		error = real.spin_trylock(lock);
	} while (error == EBUSY);
	return section_taken(error, site);
}

/* Called as the last thing of a function, so that the return address is the program's. */
COLD static int lock_slowly(pthread_spinlock_t *lock)
{
	const void *site = __builtin_return_address(0);
	int error;

	if (thread.spin == word_unset) {
		if (!__atomic_load_n(&config.ready, __ATOMIC_ACQUIRE))
			return real.spin_lock(lock);
		thread_set_up();
	}
	if (thread.spin[WORD_OFF])
		return config.spin_off(lock);
	section_enter();
	error = real.spin_trylock(lock);
	return error == EBUSY ? wait_in_section(lock, site) : section_taken(error, site);
}

/* The fast path could not take the lock. */
COLD static int lock_contended(pthread_spinlock_t *lock, int error)
{
	return error == EBUSY ? wait_in_section(lock, NULL) : section_taken(error, NULL);
}

EXPORT int pthread_spin_lock(pthread_spinlock_t *lock)
{
	word_t *word = thread.spin;
	pthread_spinlock_t *kept;
	int error;

	if (unlikely(busy(word)))
		return set(&word[WORD_OFF]) ? config.spin_off(lock) : lock_slowly(lock);
	kept = KEPT(lock);
	section_begin(word, lock);
	error = real.spin_trylock(lock);
	return unlikely(error) ? lock_contended(kept, error) : as_tried(error);
}

EXPORT int pthread_spin_trylock(pthread_spinlock_t *lock)
{
	if (thread.spin[WORD_OFF] || !config.spin)
		return real.spin_trylock(lock);
	section_enter();
	return section_taken(real.spin_trylock(lock), __builtin_return_address(0));
}

UNLOCK(spin, pthread_spinlock_t)

NAMED_IN_ASSEMBLY COLD int spin_unlock_slowly(pthread_spinlock_t *lock)
{
	int error;

	if (thread.spin[WORD_OFF])
		return real.spin_unlock(lock);
	error = real.spin_unlock(lock);
	section_exit();
	return error;
}

/* The lock of RSEQ_SLICE=off: waits in the same way, so that a comparison shows the extension alone. */
int spin_lock_off(pthread_spinlock_t *lock)
{
	int error;

	while ((error = real.spin_trylock(lock)) == EBUSY)
		look(lock);
	return error;
}
