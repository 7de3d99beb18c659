// SPDX-License-Identifier: GPL-2.0
/*
 * The base's rseq selftests in one program: each thread that registers an area
 * turns extensions on and has a request all the time. How a grant ends is random:
 * it is yielded, ended by another system call, or used until it expires. Threads of other classes wake up, and change the nice values and
 * the CPUs of the threads under test.
 *
 * With rseq_debug a request in a system call is a violation: there it is
 * cleared in front of each call, and made again after it.
 */
#include <err.h>
#include <poll.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>
#include "rseq.h"

#define WORKERS	64
#define USEC	1000

int requests_times = 1;

static bool debug, realtime;
static cpu_set_t cpus;
/* The registered threads except the first one, whose CPUs the tests rely on. */
static _Atomic pid_t workers[WORKERS];

static __thread struct rseq_abi *area;
static __thread uint32_t state;
/* Is the grant that the thread has one to be used until it expires? */
static __thread bool kept;
/* Calls that the thread is in: one that is wrapped may make others. */
static __thread int calls;

static uint32_t chance(uint32_t n)
{
	if (!state)
		state = syscall(SYS_gettid) * 2654435761u | 1;
	state ^= state << 13;
	state ^= state >> 17;
	state ^= state << 5;
	return state % n;
}

static void request(bool on)
{
	if (area)
		RSEQ_WRITE_ONCE(area->slice_ctrl.request, on);
}

static void call_starts(void)
{
	if (!calls++ && debug)
		request(false);
}

static void call_is_over(void)
{
	if (!--calls)
		request(true);
}

/* A system call that the C library does not know. */
static long enter(long number)
{
	long ret;

	call_starts();
	__asm__ __volatile__("syscall"
			     : "=a"(ret) : "0"(number) : "rcx", "r11", "memory");
	call_is_over();
	return ret;
}

void requests_look(void)
{
	if (!area)
		return;
	if (!RSEQ_READ_ONCE(area->slice_ctrl.granted)) {
		kept = false;
	} else if (!kept) {
		switch (chance(4)) {
		case 0:
		case 1:
			if (enter(__NR_rseq_slice_yield) > 1)
				errx(1, "rseq_slice_yield() is neither 0 nor 1");
			break;
		case 2:
			enter(SYS_getppid);
			break;
		case 3:
			kept = true;
		}
	}
	request(true);
	/* Lets QEMU, which counts instructions, run its other CPUs. */
	if (!chance(4))
		__builtin_ia32_pause();
}

/* Calls of the programs that may become system calls. */
#define AROUND(type, name, parameters, arguments)			\
	type __real_##name parameters;					\
	type __wrap_##name parameters					\
	{								\
		type ret;						\
									\
		call_starts();						\
		ret = __real_##name arguments;				\
		call_is_over();						\
		return ret;						\
	}

AROUND(int, sched_yield, (void), ())
AROUND(int, poll, (struct pollfd *fds, nfds_t n, int timeout), (fds, n, timeout))
AROUND(int, raise, (int sig), (sig))
AROUND(int, puts, (const char *s), (s))
AROUND(void *, malloc, (size_t size), (size))
AROUND(int, pthread_create,
       (pthread_t *thread, const pthread_attr_t *attr, void *(*start)(void *), void *arg),
       (thread, attr, start, arg))
AROUND(int, pthread_join, (pthread_t thread, void **value), (thread, value))
AROUND(int, sched_getaffinity, (pid_t pid, size_t size, cpu_set_t *set), (pid, size, set))
AROUND(int, sched_setaffinity, (pid_t pid, size_t size, const cpu_set_t *set), (pid, size, set))
AROUND(long, syscall, (long n, long a, long b, long c, long d, long e, long f),
       (n, a, b, c, d, e, f))

void __real_free(void *p);
void __wrap_free(void *p)
{
	call_starts();
	__real_free(p);
	call_is_over();
}

int __real___rseq_register_current_thread(bool nolibc, bool legacy);
int __wrap___rseq_register_current_thread(bool nolibc, bool legacy)
{
	int ret = __real___rseq_register_current_thread(nolibc, legacy);
	pid_t none, self = syscall(SYS_gettid);
	int i;

	if (ret)
		return ret;
	if (prctl(PR_RSEQ_SLICE_EXTENSION, PR_RSEQ_SLICE_EXTENSION_SET,
		  PR_RSEQ_SLICE_EXT_ENABLE, 0, 0))
		err(1, "no extensions");
	for (i = 0, none = 0; i < WORKERS && self != getpid(); i++, none = 0)
		if (atomic_compare_exchange_strong(&workers[i], &none, self))
			break;
	area = rseq_get_abi();
	request(true);
	return 0;
}

int __real_rseq_unregister_current_thread(void);
int __wrap_rseq_unregister_current_thread(void)
{
	pid_t self;
	int i;

	request(false);
	area = NULL;
	self = syscall(SYS_gettid);
	for (i = 0; i < WORKERS; i++)
		if (workers[i] == self)
			workers[i] = 0;
	return __real_rseq_unregister_current_thread();
}

static void doze(uint32_t most)
{
	struct timespec time = { .tv_nsec = 20 * USEC + chance(most) };

	clock_nanosleep(CLOCK_MONOTONIC, 0, &time, NULL);
}

/* With PREEMPT_RT real-time threads are never kept waiting. */
static void compete(int priority)
{
	struct sched_param param = { .sched_priority = priority };

	if (realtime ? setpriority(PRIO_PROCESS, 0, -20) :
		       sched_setscheduler(0, SCHED_FIFO, &param))
		err(1, "the class of a competitor");
}

static void keep_to(pid_t tid, int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	/* The thread may be gone. */
	__real_sched_setaffinity(tid, sizeof(set), &set);
}

/* Preempts the thread that runs on the CPU, sometimes again before a grant is over. */
static void *competitor(void *cpu)
{
	keep_to(0, (intptr_t)cpu);
	compete(1);
	for (;;) {
		doze(200 * USEC);
		for (uint32_t n = chance(1000); n; n--)
			rseq_barrier();
	}
	return NULL;
}

/* Causes reschedules without a competitor, and migrations. */
static void *changer(void *unused)
{
	compete(2);
	for (;;) {
		int i = chance(WORKERS), n;
		pid_t tid = 0;

		doze(100 * USEC);
		for (n = 0; n < WORKERS && !tid; n++)
			tid = workers[(i + n) % WORKERS];
		if (!tid)
			continue;
		setpriority(PRIO_PROCESS, tid, (int)chance(20) - 10);
		if (!chance(4))
			keep_to(tid, chance(CPU_COUNT(&cpus)));
		else
			__real_sched_setaffinity(tid, sizeof(cpus), &cpus);
	}
	return NULL;
}

static void start(void *(*function)(void *), intptr_t arg)
{
	pthread_t thread;

	errno = __real_pthread_create(&thread, NULL, function, (void *)arg);
	if (errno)
		err(1, "a competitor");
}

/* Is there a file that starts with 1? */
static bool is_on(const char *name)
{
	FILE *file = fopen(name, "r");
	bool on = file && fgetc(file) == '1';

	if (file)
		fclose(file);
	return on;
}

static __attribute__((constructor)) void start_all(void)
{
	const char *times = getenv("TIMES");
	intptr_t cpu;

	debug = is_on("/sys/kernel/debug/rseq/debug");
	realtime = is_on("/sys/kernel/realtime");
	if (times)
		requests_times = atoi(times);
	if (__real_sched_getaffinity(0, sizeof(cpus), &cpus))
		err(1, "sched_getaffinity");
	for (cpu = 0; cpu < CPU_COUNT(&cpus); cpu++)
		start(competitor, cpu);
	start(changer, 0);
}

#define PROGRAM(name) int main_##name(int argc, char **argv);
PROGRAMS
#undef PROGRAM

int main(int argc, char **argv)
{
	argc--;
	argv++;
#define PROGRAM(name)					\
	if (argc && !strcmp(*argv, #name))		\
		return main_##name(argc, argv);
	PROGRAMS
	errx(2, "the first argument is not one of the programs");
}
