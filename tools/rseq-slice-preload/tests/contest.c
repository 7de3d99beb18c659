/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Threads that compete for a lock, in a program that does not use the extension.
 *
 * contest [--lock spin|mutex|adaptive|rwlock] [--threads N] [--ms MS] [--work LOOPS]
 *
 * Prints how often the lock was taken, in thousands a second, and fails if the lock did not exclude.
 */
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static pthread_spinlock_t spin;
static pthread_mutex_t mutex;
static pthread_rwlock_t rwlock;
static enum { SPIN, MUTEX, ADAPTIVE, RWLOCK } kind;
static int work = 120;
static volatile int stop;
static volatile uint64_t inside, overlaps, total;

static void take(void)
{
	switch (kind) {
	case SPIN: pthread_spin_lock(&spin); break;
	case RWLOCK: pthread_rwlock_wrlock(&rwlock); break;
	default: pthread_mutex_lock(&mutex);
	}
}

static void release(void)
{
	switch (kind) {
	case SPIN: pthread_spin_unlock(&spin); break;
	case RWLOCK: pthread_rwlock_unlock(&rwlock); break;
	default: pthread_mutex_unlock(&mutex);
	}
}

static void spend(int loops)
{
	for (volatile int i = 0; i < loops; i++)
		;
}

static void *compete(void *unused)
{
	(void)unused;
	while (!stop) {
		take();
		if (inside++)
			overlaps++;
		spend(work);
		total++;
		inside--;
		release();
		spend(work / 4);
	}
	return NULL;
}

static uint64_t now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return (uint64_t)time.tv_sec * 1000000000 + (uint64_t)time.tv_nsec;
}

int main(int argc, char **argv)
{
	static const char *const kinds[] = { "spin", "mutex", "adaptive", "rwlock" };
	int threads = 8, ms = 200;
	pthread_mutexattr_t attributes;
	pthread_t *started;
	uint64_t start, ns;
	struct timespec pause;

	for (int i = 1; i + 1 < argc; i += 2) {
		if (!strcmp(argv[i], "--threads"))
			threads = atoi(argv[i + 1]);
		else if (!strcmp(argv[i], "--ms"))
			ms = atoi(argv[i + 1]);
		else if (!strcmp(argv[i], "--work"))
			work = atoi(argv[i + 1]);
		else if (!strcmp(argv[i], "--lock"))
			for (int k = 0; k < 4; k++)
				if (!strcmp(argv[i + 1], kinds[k]))
					kind = (unsigned int)k;
	}
	pthread_spin_init(&spin, PTHREAD_PROCESS_PRIVATE);
	pthread_mutexattr_init(&attributes);
	pthread_mutexattr_settype(&attributes, kind == ADAPTIVE ? PTHREAD_MUTEX_ADAPTIVE_NP : PTHREAD_MUTEX_NORMAL);
	pthread_mutex_init(&mutex, &attributes);
	pthread_rwlock_init(&rwlock, NULL);
	started = calloc((size_t)threads, sizeof(*started));
	if (!started)
		return 2;
	start = now();
	for (int i = 0; i < threads; i++)
		if (pthread_create(&started[i], NULL, compete, NULL))
			return 2;
	pause = (struct timespec){ ms / 1000, ms % 1000 * 1000000L };
	nanosleep(&pause, NULL);
	stop = 1;
	for (int i = 0; i < threads; i++)
		pthread_join(started[i], NULL);
	ns = now() - start;
	printf("%lu\n", (unsigned long)(total * 1000000 / ns));
	return overlaps || inside ? 1 : 0;
}
