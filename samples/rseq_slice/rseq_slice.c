// SPDX-License-Identifier: MIT OR Apache-2.0
/*
 * Ask for time slice extensions around a critical section until some of them
 * were granted and yielded.
 *
 * Exit status: 0 success, 1 failure, 4 the kernel has no such feature.
 */
#define _GNU_SOURCE
#include <err.h>
#include <errno.h>
#include <linux/types.h>
#include <sched.h>
#include <signal.h>
#include <stdalign.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/rseq.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <time.h>
#include <unistd.h>

#ifndef PR_RSEQ_SLICE_EXTENSION
#define PR_RSEQ_SLICE_EXTENSION		79
#define PR_RSEQ_SLICE_EXTENSION_SET	2
#define PR_RSEQ_SLICE_EXT_ENABLE	0x01
#endif
#ifndef SYS_rseq_slice_yield
#define SYS_rseq_slice_yield		471
#endif
#define ENOTSUPP	524	/* from the kernel, not in <errno.h> */

#define EXIT_SKIP	4
#define WANTED		10	/* grants to yield before success */
#define SECONDS		10	/* to give up after */

/* struct rseq of Linux 7.0, with the size and alignment to register. */
struct rseq_area {
	alignas(64) __u32 cpu_id_start;
	__u32 cpu_id;
	__u64 rseq_cs;
	__u32 flags;
	__u32 node_id;
	__u32 mm_cid;
	volatile __u8 request;
	volatile __u8 granted;
	__u16 reserved;
};

static __thread struct rseq_area own_area;
static __thread struct rseq_area *area;

/* The kernel acts on this CPU only: the compiler alone must keep the order. */
static inline void barrier(void)
{
	__asm__ __volatile__("" ::: "memory");
}

/* Each thread that wants extensions calls this once. */
static void slice_enable(void)
{
	if (__rseq_size > 0) {
		area = (struct rseq_area *)
			((char *)__builtin_thread_pointer() + __rseq_offset);
	} else {
		area = &own_area;
		if (syscall(SYS_rseq, area, sizeof(*area), 0, RSEQ_SIG))
			err(errno == ENOSYS ? EXIT_SKIP : EXIT_FAILURE, "rseq");
	}

	if (!prctl(PR_RSEQ_SLICE_EXTENSION, PR_RSEQ_SLICE_EXTENSION_SET,
		   PR_RSEQ_SLICE_EXT_ENABLE, 0, 0))
		return;

	if (errno == EINVAL)
		errx(EXIT_SKIP, "Linux before 7.0: no time slice extension");
	if (errno != ENOTSUPP)
		err(EXIT_FAILURE, "prctl");
	if (__rseq_size > 0 && __rseq_size <= 32)
		errx(EXIT_FAILURE,
		     "this C library registers a legacy rseq area; set GLIBC_TUNABLES=glibc.pthread.rseq=0");
	errx(EXIT_SKIP, "time slice extension not built in, or off at boot");
}

static void slice_begin(void)
{
	area->request = 1;
	barrier();
}

/* Returns 1 if there was a grant and the thread yielded it. */
static int slice_end(void)
{
	barrier();
	area->request = 0;
	if (!area->granted)
		return 0;
	return syscall(SYS_rseq_slice_yield) == 1;
}

/* Wakes up often, on the same CPU, to have the parent preempted. */
static pid_t start_competitor(void)
{
	const struct timespec pause = { .tv_nsec = 100 * 1000 };
	pid_t parent = getpid();
	pid_t pid = fork();

	if (pid < 0)
		err(EXIT_FAILURE, "fork");
	if (pid > 0)
		return pid;

	while (getppid() == parent)
		nanosleep(&pause, NULL);
	_exit(EXIT_SUCCESS);
}

int main(void)
{
	unsigned long sections = 0, yields = 0;
	unsigned int work;
	cpu_set_t cpus;
	time_t end;
	pid_t competitor;

	CPU_ZERO(&cpus);
	CPU_SET(sched_getcpu(), &cpus);
	if (sched_setaffinity(0, sizeof(cpus), &cpus))
		err(EXIT_FAILURE, "sched_setaffinity");

	slice_enable();
	competitor = start_competitor();

	for (end = time(NULL) + SECONDS; yields < WANTED && time(NULL) < end;) {
		slice_begin();
		for (work = 0; work < 500; work++)
			barrier();	/* the critical section */
		yields += slice_end();
		sections++;
	}

	kill(competitor, SIGKILL);
	printf("%lu critical sections, %lu extended and yielded\n",
	       sections, yields);
	exit(yields < WANTED ? EXIT_FAILURE : EXIT_SUCCESS);
}
