/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Calls of the interposed functions, and what each returned: run plain and preloaded, the output has to
 * be the same. The program does not depend on the library.
 */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define MARK 4242

/* Calls, and prints the result and whether errno is as it was. */
#define SAY(call) do {								\
	int result_;								\
										\
	errno = MARK;								\
	result_ = (call);							\
	printf("  %-60s %d%s\n", #call, result_, errno == MARK ? "" : " errno");	\
} while (0)

static const struct timespec past = { 1, 0 }, wrong = { 1, 1000000000 }, negative = { 1, -1 }, before = { -1, 0 };

static struct timespec in_ms(clockid_t clock, int ms)
{
	struct timespec time;

	clock_gettime(clock, &time);
	time.tv_nsec += ms * 1000000L;
	time.tv_sec += time.tv_nsec / 1000000000;
	time.tv_nsec %= 1000000000;
	return time;
}

static pthread_mutex_t *mutex;

static void *by_other(void *unused)
{
	struct timespec soon = in_ms(CLOCK_MONOTONIC, 5);

	(void)unused;
	puts("  another thread");
	SAY(pthread_mutex_trylock(mutex));
	SAY(pthread_mutex_timedlock(mutex, &past));
	SAY(pthread_mutex_timedlock(mutex, &wrong));
	SAY(pthread_mutex_timedlock(mutex, &negative));
	SAY(pthread_mutex_timedlock(mutex, &before));
	SAY(pthread_mutex_clocklock(mutex, CLOCK_MONOTONIC, &soon));
	SAY(pthread_mutex_clocklock(mutex, CLOCK_PROCESS_CPUTIME_ID, &soon));
	return NULL;
}

static void *unlock_by_other(void *unused)
{
	(void)unused;
	SAY(pthread_mutex_unlock(mutex));
	return NULL;
}

static void *die_with_it(void *unused)
{
	(void)unused;
	SAY(pthread_mutex_lock(mutex));
	return NULL;
}

static void in_thread(void *(*function)(void *))
{
	pthread_t thread;

	pthread_create(&thread, NULL, function, NULL);
	pthread_join(thread, NULL);
}

static void dead_owner(void)
{
	in_thread(die_with_it);
	SAY(pthread_mutex_trylock(mutex));
	SAY(pthread_mutex_consistent(mutex));
	SAY(pthread_mutex_unlock(mutex));
	in_thread(die_with_it);
	SAY(pthread_mutex_lock(mutex));
	SAY(pthread_mutex_consistent(mutex));
	SAY(pthread_mutex_unlock(mutex));
	fflush(stdout);
	if (!fork()) {
		SAY(pthread_mutex_lock(mutex));
		fflush(stdout);
		_exit(0);
	}
	wait(NULL);
	SAY(pthread_mutex_timedlock(mutex, &past));
	SAY(pthread_mutex_unlock(mutex));
	SAY(pthread_mutex_lock(mutex));
	SAY(pthread_mutex_trylock(mutex));
}

static void one_mutex(int type, int protocol, int robust)
{
	pthread_mutexattr_t attributes;

	printf("mutex type %d protocol %d robust %d\n", type, protocol, robust);
	pthread_mutexattr_init(&attributes);
	pthread_mutexattr_settype(&attributes, type);
	pthread_mutexattr_setprotocol(&attributes, protocol);
	pthread_mutexattr_setrobust(&attributes, robust);
	pthread_mutexattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED);
	SAY(pthread_mutex_init(mutex, &attributes));
	SAY(pthread_mutex_lock(mutex));
	if (type == PTHREAD_MUTEX_ERRORCHECK || type == PTHREAD_MUTEX_RECURSIVE)
		SAY(pthread_mutex_lock(mutex));
	SAY(pthread_mutex_trylock(mutex));
	SAY(pthread_mutex_timedlock(mutex, &past));
	in_thread(by_other);
	if (type == PTHREAD_MUTEX_ERRORCHECK || type == PTHREAD_MUTEX_RECURSIVE)
		in_thread(unlock_by_other);
	SAY(pthread_mutex_unlock(mutex));
	if (type == PTHREAD_MUTEX_RECURSIVE) {
		SAY(pthread_mutex_unlock(mutex));
		SAY(pthread_mutex_unlock(mutex));
		SAY(pthread_mutex_unlock(mutex));
	}
	if (type == PTHREAD_MUTEX_ERRORCHECK || type == PTHREAD_MUTEX_RECURSIVE)
		SAY(pthread_mutex_unlock(mutex));
	SAY(pthread_mutex_clocklock(mutex, CLOCK_REALTIME, &past));
	SAY(pthread_mutex_unlock(mutex));
	SAY(pthread_mutex_timedlock(mutex, &wrong));
	SAY(pthread_mutex_unlock(mutex));
	SAY(pthread_mutex_trylock(mutex));
	SAY(pthread_mutex_unlock(mutex));
	if (robust == PTHREAD_MUTEX_ROBUST)
		dead_owner();
	else
		SAY(pthread_mutex_destroy(mutex));
}

static void mutexes(void)
{
	static const int types[] = { PTHREAD_MUTEX_NORMAL, PTHREAD_MUTEX_RECURSIVE, PTHREAD_MUTEX_ERRORCHECK,
				     PTHREAD_MUTEX_ADAPTIVE_NP };
	static const int protocols[] = { PTHREAD_PRIO_NONE, PTHREAD_PRIO_INHERIT, PTHREAD_PRIO_PROTECT };

	mutex = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	for (int type = 0; type < 4; type++)
		for (int protocol = 0; protocol < 3; protocol++)
			for (int robust = 0; robust < 2; robust++)
				if (!robust || protocols[protocol] != PTHREAD_PRIO_PROTECT)
					one_mutex(types[type], protocols[protocol],
						  robust ? PTHREAD_MUTEX_ROBUST : PTHREAD_MUTEX_STALLED);
}

static pthread_rwlock_t rwlock;

static void *rwlock_by_other(void *unused)
{
	struct timespec soon = in_ms(CLOCK_MONOTONIC, 5);

	(void)unused;
	puts("  another thread");
	SAY(pthread_rwlock_tryrdlock(&rwlock));
	SAY(pthread_rwlock_trywrlock(&rwlock));
	SAY(pthread_rwlock_timedrdlock(&rwlock, &past));
	SAY(pthread_rwlock_timedwrlock(&rwlock, &past));
	SAY(pthread_rwlock_clockrdlock(&rwlock, CLOCK_MONOTONIC, &soon));
	SAY(pthread_rwlock_clockwrlock(&rwlock, CLOCK_MONOTONIC, &soon));
	SAY(pthread_rwlock_clockwrlock(&rwlock, CLOCK_PROCESS_CPUTIME_ID, &soon));
	SAY(pthread_rwlock_clockrdlock(&rwlock, CLOCK_PROCESS_CPUTIME_ID, &soon));
	return NULL;
}

static void rwlocks(void)
{
	static const int kinds[] = { PTHREAD_RWLOCK_PREFER_READER_NP, PTHREAD_RWLOCK_PREFER_WRITER_NP,
				     PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP };
	pthread_rwlockattr_t attributes;

	for (int kind = 0; kind < 3; kind++) {
		printf("rwlock kind %d\n", kinds[kind]);
		pthread_rwlockattr_init(&attributes);
		pthread_rwlockattr_setkind_np(&attributes, kinds[kind]);
		pthread_rwlock_init(&rwlock, &attributes);
		SAY(pthread_rwlock_rdlock(&rwlock));
		SAY(pthread_rwlock_rdlock(&rwlock));
		SAY(pthread_rwlock_tryrdlock(&rwlock));
		SAY(pthread_rwlock_trywrlock(&rwlock));
		SAY(pthread_rwlock_timedwrlock(&rwlock, &past));
		SAY(pthread_rwlock_timedrdlock(&rwlock, &wrong));
		SAY(pthread_rwlock_timedrdlock(&rwlock, &negative));
		SAY(pthread_rwlock_unlock(&rwlock));
		SAY(pthread_rwlock_unlock(&rwlock));
		SAY(pthread_rwlock_unlock(&rwlock));
		SAY(pthread_rwlock_timedrdlock(&rwlock, &wrong));
		SAY(pthread_rwlock_timedwrlock(&rwlock, &wrong));
		SAY(pthread_rwlock_clockrdlock(&rwlock, CLOCK_THREAD_CPUTIME_ID, &past));
		SAY(pthread_rwlock_clockwrlock(&rwlock, CLOCK_THREAD_CPUTIME_ID, &past));
		SAY(pthread_rwlock_timedrdlock(&rwlock, &before));
		SAY(pthread_rwlock_unlock(&rwlock));
		SAY(pthread_rwlock_wrlock(&rwlock));
		SAY(pthread_rwlock_wrlock(&rwlock));
		SAY(pthread_rwlock_rdlock(&rwlock));
		SAY(pthread_rwlock_tryrdlock(&rwlock));
		SAY(pthread_rwlock_trywrlock(&rwlock));
		SAY(pthread_rwlock_timedrdlock(&rwlock, &past));
		in_thread(rwlock_by_other);
		SAY(pthread_rwlock_unlock(&rwlock));
		SAY(pthread_rwlock_destroy(&rwlock));
	}
}

static void spins(void)
{
	static pthread_spinlock_t a, b;

	puts("spin locks");
	SAY(pthread_spin_init(&a, PTHREAD_PROCESS_PRIVATE));
	SAY(pthread_spin_init(&b, PTHREAD_PROCESS_SHARED));
	SAY(pthread_spin_trylock(&a));
	SAY(pthread_spin_trylock(&a));
	SAY(pthread_spin_lock(&b));
	SAY(pthread_spin_trylock(&b));
	SAY(pthread_spin_unlock(&a));
	SAY(pthread_spin_trylock(&a));
	SAY(pthread_spin_unlock(&b));
	SAY(pthread_spin_unlock(&a));
	SAY(pthread_spin_destroy(&a));
}

static pthread_cond_t cond = PTHREAD_COND_INITIALIZER;
static int turn;

static void *answer(void *unused)
{
	(void)unused;
	for (int i = 0; i < 2000; i++) {
		pthread_mutex_lock(mutex);
		while (turn % 2 == 0)
			pthread_cond_wait(&cond, mutex);
		turn++;
		pthread_cond_signal(&cond);
		pthread_mutex_unlock(mutex);
	}
	return NULL;
}

static void conds(void)
{
	static pthread_mutex_t normal = PTHREAD_MUTEX_INITIALIZER;
	static pthread_mutex_t checked = PTHREAD_ERRORCHECK_MUTEX_INITIALIZER_NP;
	struct timespec soon = in_ms(CLOCK_MONOTONIC, 5);
	pthread_t other;

	puts("condition variables");
	SAY(pthread_cond_wait(&cond, &checked));
	SAY(pthread_cond_timedwait(&cond, &checked, &past));
	mutex = &normal;
	SAY(pthread_mutex_lock(mutex));
	SAY(pthread_cond_timedwait(&cond, mutex, &past));
	SAY(pthread_cond_timedwait(&cond, mutex, &wrong));
	SAY(pthread_cond_clockwait(&cond, mutex, CLOCK_MONOTONIC, &soon));
	SAY(pthread_cond_clockwait(&cond, mutex, CLOCK_PROCESS_CPUTIME_ID, &soon));
	SAY(pthread_mutex_trylock(mutex));
	SAY(pthread_mutex_unlock(mutex));
	pthread_create(&other, NULL, answer, NULL);
	for (int i = 0; i < 2000; i++) {
		pthread_mutex_lock(mutex);
		while (turn % 2)
			pthread_cond_wait(&cond, mutex);
		turn++;
		pthread_cond_signal(&cond);
		pthread_mutex_unlock(mutex);
	}
	pthread_join(other, NULL);
	printf("  turns %d\n", turn);
}

/* A thread that ends, and a process that forks, with locks held. */
static void *end_with_locks(void *lock)
{
	SAY(pthread_spin_lock(lock));
	SAY(pthread_rwlock_rdlock(&rwlock));
	return NULL;
}

static void ends(void)
{
	static pthread_spinlock_t lock;
	static pthread_mutex_t held = PTHREAD_MUTEX_INITIALIZER;
	pthread_t thread;
	int status;

	puts("ends");
	pthread_spin_init(&lock, PTHREAD_PROCESS_PRIVATE);
	pthread_rwlock_init(&rwlock, NULL);
	pthread_create(&thread, NULL, end_with_locks, (void *)&lock);
	pthread_join(thread, NULL);
	SAY(pthread_spin_trylock(&lock));
	SAY(pthread_spin_unlock(&lock));
	SAY(pthread_rwlock_trywrlock(&rwlock));
	SAY(pthread_mutex_lock(&held));
	SAY(pthread_spin_lock(&lock));
	fflush(stdout);
	if (!fork()) {
		SAY(pthread_spin_trylock(&lock));
		SAY(pthread_mutex_trylock(&held));
		SAY(pthread_spin_unlock(&lock));
		SAY(pthread_mutex_unlock(&held));
		SAY(pthread_spin_trylock(&lock));
		SAY(pthread_mutex_trylock(&held));
		fflush(stdout);
		_exit(7);
	}
	wait(&status);
	printf("  child %d\n", WEXITSTATUS(status));
	SAY(pthread_mutex_unlock(&held));
	SAY(pthread_spin_unlock(&lock));
}

int main(void)
{
	alarm(60);
	spins();
	mutexes();
	rwlocks();
	conds();
	ends();
	return 0;
}
