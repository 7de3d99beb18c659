/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* For programs that need grants: another process has to want the CPU. */
#ifndef COMPETITOR_H
#define COMPETITOR_H

#include <sched.h>
#include <time.h>
#include <unistd.h>

/* The competitor inherits this CPU. */
static inline int stay_on_first_cpu(void)
{
	cpu_set_t cpus;

	CPU_ZERO(&cpus);
	CPU_SET(0, &cpus);
	return sched_setaffinity(0, sizeof(cpus), &cpus);
}

/* Wakes up often to have the others on the CPU preempted. Ends after its parent. */
static inline pid_t start_competitor(void)
{
	const struct timespec pause = { 0, 100 * 1000 };
	pid_t parent = getpid(), pid = fork();

	if (pid)
		return pid;
	while (getppid() == parent)
		nanosleep(&pause, 0);
	_exit(0);
}

#endif
