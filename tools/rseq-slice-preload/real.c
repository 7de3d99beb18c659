// SPDX-License-Identifier: MIT OR Apache-2.0
/*
 * The C library's own functions. The constructor finds them all. An earlier call, from the constructor
 * of another object or from its allocator, goes through a function that finds only the called one.
 * dlsym() does not allocate for that, so it does not recurse.
 */
#include "preload.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define STRING(x) STRING_(x)
#define STRING_(x) #x
#ifdef COND_VERSION
#define FIND_COND(name) dlvsym(RTLD_NEXT, name, STRING(COND_VERSION))
#else
#define FIND_COND(name) dlsym(RTLD_NEXT, name)
#endif
#define FIND(name) dlsym(RTLD_NEXT, name)

#define FUNCTIONS(F)										\
	F(FIND, spin_lock, (pthread_spinlock_t *l), (l))					\
	F(FIND, spin_trylock, (pthread_spinlock_t *l), (l))					\
	F(FIND, spin_unlock, (pthread_spinlock_t *l), (l))					\
	F(FIND, mutex_lock, (pthread_mutex_t *m), (m))						\
	F(FIND, mutex_trylock, (pthread_mutex_t *m), (m))					\
	F(FIND, mutex_timedlock, (pthread_mutex_t *m, const struct timespec *t), (m, t))	\
	F(FIND, mutex_clocklock, (pthread_mutex_t *m, clockid_t c, const struct timespec *t), (m, c, t))	\
	F(FIND, mutex_unlock, (pthread_mutex_t *m), (m))					\
	F(FIND, rwlock_rdlock, (pthread_rwlock_t *l), (l))					\
	F(FIND, rwlock_wrlock, (pthread_rwlock_t *l), (l))					\
	F(FIND, rwlock_tryrdlock, (pthread_rwlock_t *l), (l))					\
	F(FIND, rwlock_trywrlock, (pthread_rwlock_t *l), (l))					\
	F(FIND, rwlock_timedrdlock, (pthread_rwlock_t *l, const struct timespec *t), (l, t))	\
	F(FIND, rwlock_timedwrlock, (pthread_rwlock_t *l, const struct timespec *t), (l, t))	\
	F(FIND, rwlock_clockrdlock, (pthread_rwlock_t *l, clockid_t c, const struct timespec *t), (l, c, t))	\
	F(FIND, rwlock_clockwrlock, (pthread_rwlock_t *l, clockid_t c, const struct timespec *t), (l, c, t))	\
	F(FIND, rwlock_unlock, (pthread_rwlock_t *l), (l))					\
	F(FIND_COND, cond_wait, (pthread_cond_t *c, pthread_mutex_t *m), (c, m))		\
	F(FIND_COND, cond_timedwait, (pthread_cond_t *c, pthread_mutex_t *m, const struct timespec *t), (c, m, t))	\
	F(FIND, cond_clockwait,									\
	  (pthread_cond_t *c, pthread_mutex_t *m, clockid_t k, const struct timespec *t), (c, m, k, t))

static void *found(void *function, const char *name)
{
	if (function)
		return function;
	complain("the C library has no %s(): start the program without this library", name);
	abort();
}

#define EARLY(find, name, parameters, arguments)						\
	static void find_##name(void)								\
	{											\
		int error = errno;								\
		void *function = found(find("pthread_" #name), "pthread_" #name);		\
												\
		__atomic_store(&real.name, (__typeof__(real.name) *)&function, __ATOMIC_RELAXED);	\
		errno = error;									\
	}											\
	static int early_##name parameters							\
	{											\
		find_##name();									\
		return real.name arguments;							\
	}
FUNCTIONS(EARLY)

#define INITIAL(find, name, parameters, arguments) .name = early_##name,
NAMED_IN_ASSEMBLY struct real real = { FUNCTIONS(INITIAL) };

void real_resolve(void)
{
#define RESOLVE(find, name, parameters, arguments) find_##name();
	FUNCTIONS(RESOLVE)
}
