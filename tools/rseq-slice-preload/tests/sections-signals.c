/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#include <signal.h>
#include <time.h>

#include "sections.h"

/* A signal handler with locks of its own at any point of others. */
static volatile unsigned long handled;

static void handle(int signal)
{
	static pthread_spinlock_t own;	/* 0 is one that is held on some machines */
	static int ready;
	unsigned long before = mock_held();

	(void)signal;
	if (!ready)
		ready = !pthread_spin_init(&own, PTHREAD_PROCESS_PRIVATE);
	pthread_spin_lock(&own);
	pthread_spin_unlock(&own);
	if (mock_held() != before) {
		failed = 1;
		handled = 1000000;
	}
	handled++;
	/* The kernel. */
	if (mock_word()[1])
		mock_word()[1] = 0;
	else if (handled % 2)
		mock_grant();
	else
		mock_word()[0] = 0;
}

void interrupted(void)
{
	struct sigaction action = { .sa_handler = handle, .sa_flags = SA_RESTART };
	struct itimerspec often = { { 0, 20000 }, { 0, 20000 } };
	struct sigevent event = { .sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR2 };
	unsigned long rounds = 0;
	timer_t timer;

	sigaction(SIGUSR2, &action, NULL);
	timer_create(CLOCK_MONOTONIC, &event, &timer);
	timer_settime(timer, 0, &often, NULL);
	while (handled < 3000) {
		pthread_spin_lock(&a);
		pthread_mutex_lock(&mutex);
		pthread_mutex_unlock(&mutex);
		pthread_spin_unlock(&a);
		if (mock_held() || mock_word()[0]) {
			printf("# after %lu rounds: %lu locks, request %d\n", rounds, mock_held(), mock_word()[0]);
			failed = 1;
			break;
		}
		rounds++;
	}
	timer_delete(timer);
	mock_word()[0] = mock_word()[1] = 0;
}

void kept_errno(void)
{
	errno = 4242;
	pthread_spin_lock(&a);
	mock_grant();
	pthread_spin_unlock(&a);
	mock_word()[1] = 0;
	CALL(errno, 4242);
}
