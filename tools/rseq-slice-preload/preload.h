/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* What the files of librseq-slice-preload share: the C library's functions and the configuration. */
#ifndef PRELOAD_H
#define PRELOAD_H

#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <time.h>

#if !defined(__GLIBC__) || !__GLIBC_PREREQ(2, 34)
#error "glibc 2.34 or newer is needed: its dlsym() allocates nothing for a symbol that exists"
#endif

#define HIDDEN __attribute__((visibility("hidden")))
#define EXPORT __attribute__((visibility("default")))
/* For names that only assembly uses, which link-time optimization does not see. */
#define NAMED_IN_ASSEMBLY __attribute__((used))
#define COLD __attribute__((cold, noinline))
#define likely(x) __builtin_expect(!!(x), 1)
#define unlikely(x) __builtin_expect(!!(x), 0)
#define barrier() __asm__ __volatile__("" ::: "memory")

/*
 * Defines a function under a version of its name, which is in preload.map. A function without a
 * version is found whatever version the program was linked with. The attribute is for link-time
 * optimization, which does not look into assembly; clang does not have it.
 */
#define VERSIONED(local, name, version) VERSIONED_AS(local, #name "@@" #version)
#define VERSIONED_TOO(local, name, version) VERSIONED_AS(local, #name "@" #version)
#ifdef __has_attribute
#if __has_attribute(symver)
#define VERSIONED_AS(local, versioned) extern __typeof__(local) local __attribute__((symver(versioned)))
#endif
#endif
#ifndef VERSIONED_AS
#define VERSIONED_AS(local, versioned) __asm__(".symver " #local ", " versioned)
#endif

/* The version of the condition variables of <pthread.h>, where there are others. */
#if defined(__x86_64__) || defined(__s390x__)
#define COND_VERSION GLIBC_2.3.2
#endif

/* The C library's functions. A call before the constructor finds the function first. */
struct real {
	int (*spin_lock)(pthread_spinlock_t *);
	int (*spin_trylock)(pthread_spinlock_t *);
	int (*spin_unlock)(pthread_spinlock_t *);
	int (*mutex_lock)(pthread_mutex_t *);
	int (*mutex_trylock)(pthread_mutex_t *);
	int (*mutex_timedlock)(pthread_mutex_t *, const struct timespec *);
	int (*mutex_clocklock)(pthread_mutex_t *, clockid_t, const struct timespec *);
	int (*mutex_unlock)(pthread_mutex_t *);
	int (*rwlock_rdlock)(pthread_rwlock_t *);
	int (*rwlock_wrlock)(pthread_rwlock_t *);
	int (*rwlock_tryrdlock)(pthread_rwlock_t *);
	int (*rwlock_trywrlock)(pthread_rwlock_t *);
	int (*rwlock_timedrdlock)(pthread_rwlock_t *, const struct timespec *);
	int (*rwlock_timedwrlock)(pthread_rwlock_t *, const struct timespec *);
	int (*rwlock_clockrdlock)(pthread_rwlock_t *, clockid_t, const struct timespec *);
	int (*rwlock_clockwrlock)(pthread_rwlock_t *, clockid_t, const struct timespec *);
	int (*rwlock_unlock)(pthread_rwlock_t *);
	int (*cond_wait)(pthread_cond_t *, pthread_mutex_t *);
	int (*cond_timedwait)(pthread_cond_t *, pthread_mutex_t *, const struct timespec *);
	int (*cond_clockwait)(pthread_cond_t *, pthread_mutex_t *, clockid_t, const struct timespec *);
};

extern HIDDEN struct real real;

/* Finds all of them at once. */
HIDDEN void real_resolve(void);

/* What the environment says. Until the constructor has read it, no lock is in a section. */
struct config {
	bool ready;
	int absent;		/* why no thread will have the extension, or 0 */
	bool spin, mutex, rwlock, omp;
	bool stats;
	/* A mutex is in a section if the masked bits of its kind are those wanted. */
	int mutex_mask, mutex_want;
	unsigned int looks;
	int spin_free;				/* the value of a free spin lock */
	int (*spin_off)(pthread_spinlock_t *);	/* for threads without the extension */
};

extern HIDDEN struct config config;

HIDDEN void mutex_select(bool all, bool adaptive);
static inline bool mutex_selected(int kind)
{
	return (kind & config.mutex_mask) == config.mutex_want;
}
HIDDEN int spin_lock_off(pthread_spinlock_t *lock);

/* Writes a line to standard error. */
__attribute__((format(printf, 1, 2))) HIDDEN void complain(const char *format, ...);

/* Why threads have no extension, and what to set to let them have it. */
HIDDEN const char *cause(int why);

/* Finds a loaded object with restartable sequences: its name, or null. */
HIDDEN const char *restartable_object(void);

#endif
