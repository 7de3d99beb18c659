/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Takes a lock and releases it, COUNT times: count spin|mutex|adaptive|rwlock COUNT. For callgrind. */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

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

int main(int argc, char **argv)
{
	long count = argc > 2 ? atol(argv[2]) : 0;

	pthread_spin_init(&spin, PTHREAD_PROCESS_PRIVATE);
	if (argc < 3)
		return 2;
	if (!strcmp(argv[1], "spin"))
		LOOP(pthread_spin_lock(&spin), pthread_spin_unlock(&spin));
	else if (!strcmp(argv[1], "mutex"))
		LOOP(pthread_mutex_lock(&mutex), pthread_mutex_unlock(&mutex));
	else if (!strcmp(argv[1], "adaptive"))
		LOOP(pthread_mutex_lock(&adaptive), pthread_mutex_unlock(&adaptive));
	else if (!strcmp(argv[1], "rwlock"))
		LOOP(pthread_rwlock_wrlock(&rwlock), pthread_rwlock_unlock(&rwlock));
	else
		return 2;
	return 0;
}
