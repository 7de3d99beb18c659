/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Takes a lock and releases it, COUNT times: count spin|mutex|adaptive|rwlock|reader COUNT [fork].
 * For callgrind, and for statistics. A child, if wanted, takes it twice as often as its parent.
 */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static pthread_spinlock_t spin;
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_mutex_t adaptive = PTHREAD_ADAPTIVE_MUTEX_INITIALIZER_NP;
static pthread_rwlock_t rwlock = PTHREAD_RWLOCK_INITIALIZER;

#define LOOP(lock, unlock) do {			\
	for (long i = 0; i < count; i++) {	\
		lock;				\
		unlock;				\
	}					\
} while (0)

static int take(const char *kind, long count)
{
	if (!strcmp(kind, "spin"))
		LOOP(pthread_spin_lock(&spin), pthread_spin_unlock(&spin));
	else if (!strcmp(kind, "mutex"))
		LOOP(pthread_mutex_lock(&mutex), pthread_mutex_unlock(&mutex));
	else if (!strcmp(kind, "adaptive"))
		LOOP(pthread_mutex_lock(&adaptive), pthread_mutex_unlock(&adaptive));
	else if (!strcmp(kind, "rwlock"))
		LOOP(pthread_rwlock_wrlock(&rwlock), pthread_rwlock_unlock(&rwlock));
	else if (!strcmp(kind, "reader"))
		LOOP(pthread_rwlock_rdlock(&rwlock), pthread_rwlock_unlock(&rwlock));
	else
		return 2;
	return 0;
}

int main(int argc, char **argv)
{
	long count = argc > 2 ? atol(argv[2]) : 0;
	int status = 2;

	pthread_spin_init(&spin, PTHREAD_PROCESS_PRIVATE);
	if (argc < 3 || take(argv[1], count))
		return 2;
	if (argc == 3)
		return 0;
	if (!fork())
		return take(argv[1], 2 * count);
	wait(&status);
	return status ? 1 : 0;
}
