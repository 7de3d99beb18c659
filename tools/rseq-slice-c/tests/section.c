/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Sections beside a competitor on one CPU, until the threads ended enough grants: nested, in a signal
 * handler, left by longjmp(), in a second shared object, in threads, in a child of fork().
 *
 * section [--grants N] [--take-over] [--exit yield|getpid] [--off]
 *         [--area libc|own|taken-over]    the area that every thread has to get
 *         [--why N]                       or the cause that it has to name
 *
 * Exit status: 0 all is as it must be, 1 it is not, 2 wrong use.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "rseq_slice.h"
#include "competitor.h"
#include "section.h"

#define PATIENCE 5	/* seconds until grants must have come */

static int wanted = RSEQ_SLICE_AREA_NONE, wanted_why;
static long grants = 200;
static volatile unsigned long failures, seen, handled, nested, jumps, requests, plugin_requests;
static jmp_buf out;

static void fail(const char *what)
{
	if (failures++ < 10)
		fprintf(stderr, "# section: %s\n", what);
}

/* What no thread may ever see. */
static void look(const volatile unsigned char *ctrl)
{
	/* The grant first: the kernel may turn a request into a grant in between, not the reverse. */
	int granted = ctrl[1];

	if (granted && ctrl[0])
		fail("a request beside a grant");
}

static void work(void)
{
	for (volatile int i = 0; i < 120; i++)
		;
}

static void end(rseq_slice_t token)
{
	const volatile unsigned char *ctrl = rseq_slice_ctrl();

	look(ctrl);
	if (token.ctrl)
		requests++;
	if (token.ctrl && ctrl[1])
		seen++;
	rseq_slice_end(token);
	if (token.ctrl && (ctrl[0] || ctrl[1]))
		fail("the outermost section ended, and the control word is not 0");
}

static void plain(void)
{
	rseq_slice_t token = rseq_slice_begin();

	work();
	end(token);
}

static void nest(void)
{
	rseq_slice_t token = rseq_slice_begin(), inner;

	work();
	for (int i = 0; i < 3; i++) {
		const volatile unsigned char *ctrl = rseq_slice_ctrl();
		int open = ctrl[0] || ctrl[1];

		inner = rseq_slice_begin();
		look(ctrl);
		nested += open && !inner.ctrl;
		work();
		end(inner);
	}
	end(token);
}

static void scopes(void)
{
	RSEQ_SLICE_SECTION(outer);
	{
		RSEQ_SLICE_SECTION(inner);
		if (outer.ctrl && inner.ctrl && inner.ctrl != outer.ctrl)
			fail("two control words in one thread");
		work();
	}
}

static __attribute__((noinline)) void jump(void)
{
	RSEQ_SLICE_SECTION(abandoned);
	work();
	longjmp(out, 1);
}

/* The request of the section that was left stays, until the kernel answers it or the next section ends. */
static void leave_by_longjmp(void)
{
	time_t end_of_patience = time(0) + PATIENCE;
	rseq_slice_t token;

	if (!setjmp(out))
		jump();
	jumps++;
	do {
		token = rseq_slice_begin();
		work();
		look(rseq_slice_ctrl());
		rseq_slice_end(token);
	} while (!token.ctrl && time(0) < end_of_patience);
	if (!token.ctrl)
		fail("no section could make a request after longjmp() left one");
}

static void in_plugin(void)
{
	rseq_slice_t token;

	plugin_requests += (unsigned long)plugin_section(work);
	token = rseq_slice_begin();
	if (plugin_section(work) && plugin_ctrl() != rseq_slice_ctrl())
		fail("the shared object has another control word");
	end(token);
}

static void handler(int signal)
{
	int before = errno;

	(void)signal;
	nest();
	if (errno != before)
		fail("errno changed in a handler");
	handled++;
}

static int check_support(const char *who, int wanted_area)
{
	int why = rseq_slice_support(), area = rseq_slice_area();

	if (why == wanted_why && (why || !wanted_area || area == wanted_area))
		return why;
	fprintf(stderr, "# section: %s has cause %d, area %d instead of %d, %d: %s\n", who, why, area, wanted_why,
		wanted_area, rseq_slice_strwhy(why));
	failures++;
	return why;
}

static void run(long until)
{
	time_t end_of_patience = time(0) + PATIENCE;
	unsigned long before = seen, rounds = 0;

	while (seen - before < (unsigned long)until && time(0) < end_of_patience) {
		plain();
		nest();
		scopes();
		in_plugin();
		/* Takes until the competitor wakes up. */
		if (++rounds % 64 == 0)
			leave_by_longjmp();
	}
	if (seen - before < (unsigned long)until)
		fail("too few grants");
}

static void *thread(void *argument)
{
	(void)argument;
	errno = 1234;
	rseq_slice_end(rseq_slice_begin());
	if (errno != 1234)
		fail("errno changed in set-up");
	/* A thread that is created after a take-over has no area of the C library. */
	if (!check_support("a thread", wanted == RSEQ_SLICE_AREA_TAKEN_OVER ? RSEQ_SLICE_AREA_OWN : wanted))
		run(grants / 10);
	return 0;
}

static void counters(unsigned long *granted, unsigned long *yielded, unsigned long *aborted)
{
	char name[16];
	unsigned long value;
	FILE *file = fopen("/sys/kernel/debug/rseq/stats", "r");

	*granted = *yielded = *aborted = 0;
	while (file && fscanf(file, " %15[^:]: %lu", name, &value) == 2) {
		*granted += strcmp(name, "sgrant") ? 0 : value;
		*yielded += strcmp(name, "syield") ? 0 : value;
		*aborted += strcmp(name, "sabort") ? 0 : value;
	}
	if (file)
		fclose(file);
}

static int with_extension(void)
{
	unsigned long granted, yielded, aborted, granted_before, yielded_before, aborted_before;
	struct itimerval interval = { { 0, 700 }, { 0, 700 } }, never = { { 0, 0 }, { 0, 0 } };
	pthread_t thread_id;
	pid_t competitor, child;
	int status;

	competitor = start_competitor();
	counters(&granted_before, &yielded_before, &aborted_before);
	run(grants);
	counters(&granted, &yielded, &aborted);
	granted -= granted_before;
	yielded -= yielded_before;
	aborted -= aborted_before;
	printf("# seen %lu, kernel: granted %lu, yielded %lu, aborted %lu\n", seen, granted, yielded, aborted);
	if (granted && granted < seen)
		fail("the kernel counts fewer grants than were seen");
	if (granted && (yielded > aborted ? yielded : aborted) < seen / 2)
		fail("grants were seen that no call ended");

	signal(SIGALRM, handler);
	setitimer(ITIMER_REAL, &interval, 0);
	run(grants / 10);
	setitimer(ITIMER_REAL, &never, 0);
	if (!handled)
		fail("no handler had a section");

	if (pthread_create(&thread_id, 0, thread, 0) || pthread_join(thread_id, 0))
		fail("no thread");
	child = fork();
	if (!child) {
		failures = 0;
		check_support("a child", wanted);
		start_competitor();
		run(grants / 10);
		_exit(failures != 0);
	}
	if (waitpid(child, &status, 0) != child || status)
		fail("the child of fork() failed");
	kill(competitor, SIGKILL);
	waitpid(competitor, 0, 0);

	printf("# requests %lu, handlers %lu, nested %lu, jumps %lu, plugin: cause %d, requests %lu\n", requests, handled,
	       nested, jumps, plugin_support(), plugin_requests);
	if (!nested)
		fail("no section was inside another");
	return failures != 0;
}

int main(int argc, char **argv)
{
	static const char *const areas[] = { "none", "libc", "own", "taken-over" };
	unsigned int policy = 0;
	int i;

	for (i = 1; i < argc; i++) {
		const char *value = i + 1 < argc ? argv[i + 1] : "";

		if (!strcmp(argv[i], "--take-over"))
			policy |= RSEQ_SLICE_TAKE_OVER;
		else if (!strcmp(argv[i], "--off"))
			policy |= RSEQ_SLICE_OFF;
		else if (!strcmp(argv[i], "--grants") && ++i)
			grants = atol(value);
		else if (!strcmp(argv[i], "--why") && ++i)
			wanted_why = atoi(value);
		else if (!strcmp(argv[i], "--exit") && ++i)
			policy |= strcmp(value, "yield") ? RSEQ_SLICE_EXIT_GETPID : RSEQ_SLICE_EXIT_YIELD;
		else if (!strcmp(argv[i], "--area") && ++i)
			while (wanted < 3 && strcmp(areas[wanted], value))
				wanted++;
		else
			return fprintf(stderr, "section: what is %s? See the head of section.c\n", argv[i]), 2;
	}
	if (stay_on_first_cpu())
		fail("no CPU 0");
	if (rseq_slice_policy(policy))
		fail("the policy came too late");
	errno = 1234;
	rseq_slice_end(rseq_slice_begin());
	if (errno != 1234)
		fail("errno changed in set-up");
	if (rseq_slice_policy(policy) != -1)
		fail("the policy could be changed in use");
	if (check_support("the program", wanted))
		return failures != 0;
	return with_extension();
}
