// SPDX-License-Identifier: GPL-2.0
/*
 * malloc THREADS MS: THREADS threads allocate and free blocks of 16 to 512 bytes for MS milliseconds.
 * Prints the allocations and the nanoseconds that they took together.
 */
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define KEPT 32
#define MAX_THREADS 256

static atomic_bool stop;
static pthread_barrier_t start;

struct worker {
	pthread_t thread;
	unsigned long allocations;
} __attribute__((aligned(64)));

static void *work(void *argument)
{
	struct worker *worker = argument;
	unsigned int seed = (unsigned int)(size_t)argument | 1;
	void *kept[KEPT] = { 0 };
	unsigned long n;

	pthread_barrier_wait(&start);
	for (n = 0; !atomic_load_explicit(&stop, memory_order_relaxed); n++) {
		void **block = &kept[n % KEPT];
		size_t size;

		seed = seed * 1664525 + 1013904223;
		size = 16 + (seed >> 16) % 497;
		free(*block);
		*block = malloc(size);
		if (!*block)
			abort();
		memset(*block, 1, 16);
	}
	worker->allocations = n;
	for (n = 0; n < KEPT; n++)
		free(kept[n]);
	return NULL;
}

static long long now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000000LL + t.tv_nsec;
}

int main(int argc, char **argv)
{
	static struct worker workers[MAX_THREADS];
	struct timespec pause;
	unsigned long sum = 0;
	long threads, ms, i;
	long long time;

	threads = argc == 3 ? strtol(argv[1], NULL, 10) : 0;
	ms = argc == 3 ? strtol(argv[2], NULL, 10) : 0;
	if (threads < 1 || threads > MAX_THREADS || ms < 1) {
		fprintf(stderr, "Usage: malloc THREADS MS, at most %d threads\n", MAX_THREADS);
		return 2;
	}
	pthread_barrier_init(&start, NULL, (unsigned int)threads + 1);
	for (i = 0; i < threads; i++) {
		int error = pthread_create(&workers[i].thread, NULL, work, &workers[i]);

		if (error) {
			fprintf(stderr, "malloc: no thread: %s\n", strerror(error));
			return 1;
		}
	}
	pthread_barrier_wait(&start);
	time = now();
	pause.tv_sec = ms / 1000;
	pause.tv_nsec = ms % 1000 * 1000000;
	while (nanosleep(&pause, &pause) && errno == EINTR)
		;
	atomic_store(&stop, 1);
	for (i = 0; i < threads; i++) {
		pthread_join(workers[i].thread, NULL);
		sum += workers[i].allocations;
	}
	time = now() - time;
	printf("%lu %lld\n", sum, time);
	return 0;
}
