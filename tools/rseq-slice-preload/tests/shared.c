/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Two processes that share locks, one with the library and one without: each counts under each lock.
 *
 * shared ROUNDS LIBRARY...    starts itself as "shared ROUNDS", with LIBRARY... in LD_PRELOAD, as a competitor
 */
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define FILE_NUMBER 9

struct shared {
	pthread_spinlock_t spin;
	pthread_mutex_t mutex, adaptive;
	pthread_rwlock_t rwlock;
	pthread_barrier_t start;
	volatile long under_spin, under_mutex, under_adaptive, under_rwlock;
};

static struct shared *shared;

static void count(long rounds)
{
	pthread_barrier_wait(&shared->start);
	for (long i = 0; i < rounds; i++) {
		pthread_spin_lock(&shared->spin);
		shared->under_spin++;
		pthread_spin_unlock(&shared->spin);
		pthread_mutex_lock(&shared->mutex);
		shared->under_mutex++;
		pthread_mutex_unlock(&shared->mutex);
		pthread_mutex_lock(&shared->adaptive);
		shared->under_adaptive++;
		pthread_mutex_unlock(&shared->adaptive);
		if (i % 2)
			pthread_rwlock_wrlock(&shared->rwlock);
		else
			while (pthread_rwlock_trywrlock(&shared->rwlock))
				;
		shared->under_rwlock++;
		pthread_rwlock_unlock(&shared->rwlock);
	}
}

static void map(void)
{
	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED, FILE_NUMBER, 0);
	if (shared == MAP_FAILED)
		exit(2);
}

static void set_up(void)
{
	pthread_mutexattr_t mutex;
	pthread_rwlockattr_t rwlock;
	pthread_barrierattr_t barrier;

	pthread_spin_init(&shared->spin, PTHREAD_PROCESS_SHARED);
	pthread_mutexattr_init(&mutex);
	pthread_mutexattr_setpshared(&mutex, PTHREAD_PROCESS_SHARED);
	pthread_mutex_init(&shared->mutex, &mutex);
	pthread_mutexattr_settype(&mutex, PTHREAD_MUTEX_ADAPTIVE_NP);
	pthread_mutex_init(&shared->adaptive, &mutex);
	pthread_rwlockattr_init(&rwlock);
	pthread_rwlockattr_setpshared(&rwlock, PTHREAD_PROCESS_SHARED);
	pthread_rwlock_init(&shared->rwlock, &rwlock);
	pthread_barrierattr_init(&barrier);
	pthread_barrierattr_setpshared(&barrier, PTHREAD_PROCESS_SHARED);
	pthread_barrier_init(&shared->start, &barrier, 2);
}

int main(int argc, char **argv)
{
	long rounds = argc > 1 ? atol(argv[1]) : 0, all = 2 * rounds;
	int file, status;

	alarm(100);
	if (argc < 3) {
		map();
		count(rounds);
		return 0;
	}
	file = memfd_create("shared", 0);
	if (dup2(file, FILE_NUMBER) < 0 || ftruncate(FILE_NUMBER, sizeof(*shared)))
		return 2;
	map();
	set_up();
	if (!fork()) {
		setenv("LD_PRELOAD", argv[2], 1);
		execl("/proc/self/exe", argv[0], argv[1], (char *)NULL);
		_exit(2);
	}
	count(rounds);
	wait(&status);
	if (!status && shared->under_spin == all && shared->under_mutex == all && shared->under_adaptive == all &&
	    shared->under_rwlock == all)
		return 0;
	printf("# %ld, %ld, %ld, %ld instead of %ld, status %d\n", shared->under_spin, shared->under_mutex,
	       shared->under_adaptive, shared->under_rwlock, all, status);
	return 1;
}
