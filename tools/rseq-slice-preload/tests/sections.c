/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Which calls of the library begin and end a section: with mock.c, every lock there is selected.
 * Prints what is wrong; the status says whether anything is.
 */
#include <semaphore.h>
#include <signal.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "sections.h"

int failed;

void expect(int line, unsigned long locks, int request)
{
	unsigned long held = mock_held();
	const volatile unsigned char *word = mock_word();

	if (held == locks && word[0] == request && !(word[0] && word[1]))
		return;
	printf("# line %d: %lu locks, request %d, granted %d instead of %lu locks, request %d\n", line, held, word[0],
	       word[1], locks, request);
	failed = 1;
}

pthread_spinlock_t a;
pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_spinlock_t b;
static pthread_rwlock_t rwlock = PTHREAD_RWLOCK_INITIALIZER;
static pthread_cond_t cond = PTHREAD_COND_INITIALIZER;
static struct timespec past;

/* Another thread that holds everything until it is told to let go. */
static sem_t holding, release;

static void *hold(void *unused)
{
	(void)unused;
	pthread_spin_lock(&a);
	pthread_mutex_lock(&mutex);
	pthread_rwlock_wrlock(&rwlock);
	EXPECT(3, 1);
	sem_post(&holding);
	sem_wait(&release);
	pthread_rwlock_unlock(&rwlock);
	pthread_mutex_unlock(&mutex);
	EXPECT(1, 1);
	pthread_spin_unlock(&a);
	EXPECT(0, 0);
	return NULL;
}

static void order(void)
{
	CALL(pthread_spin_lock(&a), 0);
	EXPECT(1, 1);
	CALL(pthread_spin_lock(&b), 0);
	EXPECT(2, 1);
	CALL(pthread_spin_unlock(&a), 0);
	EXPECT(1, 1);
	CALL(pthread_mutex_lock(&mutex), 0);
	EXPECT(2, 1);
	CALL(pthread_spin_unlock(&b), 0);
	EXPECT(1, 1);
	CALL(pthread_mutex_unlock(&mutex), 0);
	EXPECT(0, 0);
	CALL(pthread_rwlock_rdlock(&rwlock), 0);
	CALL(pthread_rwlock_rdlock(&rwlock), 0);
	EXPECT(2, 1);
	CALL(pthread_rwlock_unlock(&rwlock), 0);
	EXPECT(1, 1);
	CALL(pthread_rwlock_unlock(&rwlock), 0);
	EXPECT(0, 0);
	CALL(pthread_spin_trylock(&a), 0);
	EXPECT(1, 1);
	CALL(pthread_spin_unlock(&a), 0);
	EXPECT(0, 0);
}

/* Releases without a lock, as if another thread had taken it. */
static void foreign(void)
{
	CALL(pthread_spin_unlock(&a), 0);
	EXPECT(0, 0);
	CALL(pthread_spin_lock(&a), 0);
	EXPECT(1, 1);
	CALL(pthread_spin_unlock(&a), 0);
	EXPECT(0, 0);
}

/* An unlock that fails ends nothing. */
static void refused(void)
{
	static pthread_mutex_t checked = PTHREAD_ERRORCHECK_MUTEX_INITIALIZER_NP;

	CALL(pthread_mutex_lock(&mutex), 0);
	CALL(pthread_mutex_unlock(&checked), EPERM);
	EXPECT(1, 1);
	CALL(pthread_mutex_unlock(&mutex), 0);
	CALL(pthread_spin_lock(&a), 0);
	CALL(pthread_mutex_unlock(&checked), EPERM);
	EXPECT(1, 1);
	CALL(pthread_spin_unlock(&a), 0);
	EXPECT(0, 0);
}

/* The child's unlock fails, since the parent's thread is the owner. The section in the child ends. */
static void forked(void)
{
	static pthread_mutex_t checked = PTHREAD_ERRORCHECK_MUTEX_INITIALIZER_NP;
	int status = 1;

	CALL(pthread_mutex_lock(&checked), 0);
	EXPECT(1, 1);
	if (!fork()) {
		CALL(pthread_mutex_unlock(&checked), EPERM);
		EXPECT(0, 0);
		_exit(failed);
	}
	wait(&status);
	CALL(status, 0);
	EXPECT(1, 1);
	CALL(pthread_mutex_unlock(&checked), 0);
	EXPECT(0, 0);
}

/* Two locks of different kinds, released in either order, and one that is taken twice. */
static void kinds(void)
{
	static pthread_mutex_t recursive = PTHREAD_RECURSIVE_MUTEX_INITIALIZER_NP;

	CALL(pthread_rwlock_wrlock(&rwlock), 0);
	EXPECT(1, 1);
	CALL(pthread_spin_lock(&a), 0);
	EXPECT(2, 1);
	CALL(pthread_rwlock_unlock(&rwlock), 0);
	EXPECT(1, 1);
	CALL(pthread_spin_unlock(&a), 0);
	EXPECT(0, 0);
	CALL(pthread_mutex_lock(&recursive), 0);
	CALL(pthread_mutex_lock(&recursive), 0);
	EXPECT(2, 1);
	CALL(pthread_mutex_unlock(&recursive), 0);
	EXPECT(1, 1);
	CALL(pthread_mutex_unlock(&recursive), 0);
	EXPECT(0, 0);
	/* Of another thread, as far as the library knows. */
	CALL(pthread_rwlock_rdlock(&rwlock), 0);
	CALL(pthread_spin_unlock(&a), 0);
	EXPECT(0, 0);
	CALL(pthread_rwlock_unlock(&rwlock), 0);
	EXPECT(0, 0);
}

/* Mutexes that are left to the C library have no section, and end none. */
static void robust(void)
{
	pthread_mutexattr_t attributes;
	pthread_mutex_t left;

	pthread_mutexattr_init(&attributes);
	pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST);
	pthread_mutex_init(&left, &attributes);
	CALL(pthread_mutex_lock(&left), 0);
	EXPECT(0, 0);
	CALL(pthread_mutex_lock(&mutex), 0);
	EXPECT(1, 1);
	CALL(pthread_mutex_unlock(&left), 0);
	EXPECT(1, 1);
	CALL(pthread_mutex_unlock(&mutex), 0);
	EXPECT(0, 0);
}

/* Our section does not end one of another library around it. */
static void around(void)
{
	mock_word()[0] = 1;
	CALL(pthread_spin_lock(&a), 0);
	EXPECT(1, 1);
	CALL(pthread_spin_unlock(&a), 0);
	EXPECT(0, 1);
	CALL(pthread_mutex_lock(&mutex), 0);
	CALL(pthread_mutex_unlock(&mutex), 0);
	EXPECT(0, 1);
	mock_word()[0] = 0;
}

static void grants(void)
{
	int taken = 0;

	CALL(pthread_spin_lock(&a), 0);
	taken += mock_grant();
	CALL(pthread_spin_lock(&b), 0);
	EXPECT(2, 0);
	CALL(pthread_spin_unlock(&b), 0);
	CALL(pthread_spin_unlock(&a), 0);
	EXPECT(0, 0);
	/* The mock's grants do not end by a system call. */
	mock_word()[1] = 0;
	/* Refused inside: releasing the lock does nothing else. */
	CALL(pthread_spin_lock(&a), 0);
	mock_word()[0] = 0;
	CALL(pthread_spin_unlock(&a), 0);
	EXPECT(0, 0);
	CALL(taken, 1);
}

static void contended(void)
{
	pthread_t holder;
	struct timespec soon;

	pthread_create(&holder, NULL, hold, NULL);
	sem_wait(&holding);
	CALL(pthread_spin_trylock(&a), EBUSY);
	EXPECT(0, 0);
	CALL(pthread_mutex_trylock(&mutex), EBUSY);
	EXPECT(0, 0);
	CALL(pthread_rwlock_tryrdlock(&rwlock), EBUSY);
	CALL(pthread_rwlock_trywrlock(&rwlock), EBUSY);
	EXPECT(0, 0);
	CALL(pthread_mutex_timedlock(&mutex, &past), ETIMEDOUT);
	EXPECT(0, 0);
	CALL(pthread_rwlock_timedrdlock(&rwlock, &past), ETIMEDOUT);
	CALL(pthread_rwlock_timedwrlock(&rwlock, &past), ETIMEDOUT);
	EXPECT(0, 0);
	CALL(pthread_spin_lock(&b), 0);
	CALL(pthread_mutex_clocklock(&mutex, CLOCK_MONOTONIC, &past), ETIMEDOUT);
	CALL(pthread_rwlock_clockwrlock(&rwlock, CLOCK_MONOTONIC, &past), ETIMEDOUT);
	EXPECT(1, 1);
	soon = (struct timespec){ 0, 30000000 };
	sem_post(&release);
	nanosleep(&soon, NULL);
	CALL(pthread_mutex_lock(&mutex), 0);
	EXPECT(2, 1);
	CALL(pthread_mutex_unlock(&mutex), 0);
	CALL(pthread_spin_unlock(&b), 0);
	EXPECT(0, 0);
	pthread_join(holder, NULL);
}

/* What a waiter looks like from a signal handler in it. */
static volatile int looks, requests;

static void look(int signal)
{
	(void)signal;
	looks++;
	requests += mock_word()[0] != 0;
}

static void *wait_for(void *what)
{
	sem_post(&holding);
	switch (*(const char *)what) {
	case 's':
		pthread_spin_lock(&b);
		EXPECT(1, 1);
		pthread_spin_unlock(&b);
		break;
	case 'm':
		pthread_mutex_lock(&mutex);
		EXPECT(1, 1);
		pthread_mutex_unlock(&mutex);
		break;
	case 'r':
		pthread_rwlock_rdlock(&rwlock);
		EXPECT(1, 1);
		pthread_rwlock_unlock(&rwlock);
		break;
	case 'c':
		pthread_mutex_lock(&mutex);
		pthread_cond_wait(&cond, &mutex);
		EXPECT(1, 1);
		pthread_mutex_unlock(&mutex);
		break;
	case 'n':	/* another lock is held meanwhile */
		pthread_spin_lock(&a);
		pthread_spin_lock(&b);
		EXPECT(2, 1);
		pthread_spin_unlock(&b);
		EXPECT(1, 1);
		pthread_spin_unlock(&a);
		break;
	}
	EXPECT(0, 0);
	return NULL;
}

static void waiting(void)
{
	struct sigaction action = { .sa_handler = look, .sa_flags = SA_RESTART };
	struct timespec moment = { 0, 2000000 };

	sigaction(SIGUSR1, &action, NULL);
	for (const char *what = "smrcn"; *what; what++) {
		pthread_t waiter;

		pthread_spin_lock(&b);
		pthread_rwlock_wrlock(&rwlock);
		if (*what != 'c')
			pthread_mutex_lock(&mutex);
		looks = requests = 0;
		pthread_create(&waiter, NULL, wait_for, (void *)what);
		sem_wait(&holding);
		nanosleep(&moment, NULL);
		for (int i = 0; i < 20; i++) {
			pthread_kill(waiter, SIGUSR1);
			nanosleep(&moment, NULL);
		}
		/* It may be signaled between a look and the attempt, but not again and again. */
		if (!looks || requests > looks / 4) {
			printf("# a waiter for '%c' had a request %d of %d times\n", *what, requests, looks);
			failed = 1;
		}
		pthread_spin_unlock(&b);
		pthread_rwlock_unlock(&rwlock);
		if (*what != 'c') {
			pthread_mutex_unlock(&mutex);
		} else {
			pthread_mutex_lock(&mutex);
			pthread_cond_signal(&cond);
			pthread_mutex_unlock(&mutex);
		}
		pthread_join(waiter, NULL);
		EXPECT(0, 0);
	}
}

/* A wait that is cancelled: the handler has the mutex. */
static void unlock(void *unused)
{
	(void)unused;
	EXPECT(1, 0);
	CALL(pthread_mutex_unlock(&mutex), 0);
	EXPECT(0, 0);
	CALL(pthread_spin_lock(&a), 0);
	EXPECT(1, 1);
	CALL(pthread_spin_unlock(&a), 0);
}

static void *wait_for_cancel(void *unused)
{
	(void)unused;
	pthread_mutex_lock(&mutex);
	pthread_cleanup_push(unlock, NULL);
	sem_post(&holding);
	for (;;)
		pthread_cond_wait(&cond, &mutex);
	pthread_cleanup_pop(0);
	return NULL;
}

static void cancelled(void)
{
	pthread_t waiter;
	void *result;

	pthread_create(&waiter, NULL, wait_for_cancel, NULL);
	sem_wait(&holding);
	pthread_mutex_lock(&mutex);
	pthread_mutex_unlock(&mutex);
	pthread_cancel(waiter);
	pthread_join(waiter, &result);
	CALL(result == PTHREAD_CANCELED, 1);
	CALL(pthread_cond_timedwait(&cond, (pthread_mutex_lock(&mutex), &mutex), &past), ETIMEDOUT);
	EXPECT(1, 1);
	CALL(pthread_cond_clockwait(&cond, &mutex, CLOCK_MONOTONIC, &past), ETIMEDOUT);
	EXPECT(1, 1);
	pthread_mutex_unlock(&mutex);
	EXPECT(0, 0);
}

int main(void)
{
	alarm(60);
	pthread_spin_init(&a, PTHREAD_PROCESS_PRIVATE);
	pthread_spin_init(&b, PTHREAD_PROCESS_PRIVATE);
	sem_init(&holding, 0, 0);
	sem_init(&release, 0, 0);
	order();
	foreign();
	refused();
	forked();
	kinds();
	robust();
	around();
	grants();
	contended();
	waiting();
	cancelled();
	interrupted();
	kept_errno();
	return failed;
}
