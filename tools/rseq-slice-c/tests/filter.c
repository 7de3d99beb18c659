/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Sections under a seccomp filter that refuses one system call of set-up or of the end of a grant.
 *
 * filter rseq|prctl|yield|getpid|openat|read|close errno|trap|kill [OPTION]...
 *
 * The filter answers EPERM, or sends SIGSYS, of whose handler the call returns EPERM, or kills.
 *
 *   --take-over, --exit getpid    the policy
 *   --no-yield                    another filter kills for rseq_slice_yield(2)
 *   --late                        the filters come after the first grants
 *   --thread                      the filters come after set-up, and a new thread has sections
 *   --area libc|own|taken-over    sections get grants in this area
 *   --why N                       or there are none, for this cause
 *
 * Exit status: 0 all is as it must be, 1 it is not, 2 wrong use. The shell reports 159 if the filter
 * killed.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>

#include "rseq_slice.h"
#include "competitor.h"

#define PATIENCE 5	/* seconds until grants must have come */
#define GRANTS 5

struct word {
	const char *name;
	unsigned int value;
};

static const struct word calls[] = {
	{ "rseq", SYS_rseq },
	{ "prctl", SYS_prctl },
	{ "yield", 471 },
	{ "getpid", SYS_getpid },
	{ "openat", SYS_openat },
	{ "read", SYS_read },
	{ "close", SYS_close },
	{ 0, 0 },
};

static const struct word answers[] = {
	{ "errno", SECCOMP_RET_ERRNO | EPERM },
	{ "trap", SECCOMP_RET_TRAP },
	{ "kill", SECCOMP_RET_KILL_PROCESS },
	{ 0, 0 },
};

/* The word of that name, or the last one. */
static const struct word *find(const struct word *word, const char *name)
{
	while (word->name && (!name || strcmp(word->name, name)))
		word++;
	return word;
}

static int wanted_area, wanted_why, failures;

static void fail(const char *what)
{
	fprintf(stderr, "# filter: %s\n", what);
	failures = 1;
}

/* Makes EPERM the result of the call that the filter skipped. */
static void trapped(int signal, siginfo_t *info, void *context)
{
	mcontext_t *machine = &((ucontext_t *)context)->uc_mcontext;

	(void)signal;
	(void)info;
#if defined(__x86_64__)
	machine->gregs[REG_RAX] = -EPERM;
#elif defined(__s390x__)
	machine->gregs[2] = -EPERM;
#elif defined(__riscv)
	machine->__gregs[REG_A0] = -EPERM;
#else
	machine->__gregs[4] = -EPERM;
#endif
}

static void refuse(unsigned int call, unsigned int action)
{
	struct sock_filter steps[] = {
		/* The number of the call comes first in what a filter sees. */
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, call, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, action),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = { sizeof(steps) / sizeof(steps[0]), steps };
	struct sigaction on_trap;

	memset(&on_trap, 0, sizeof(on_trap));
	on_trap.sa_sigaction = trapped;
	on_trap.sa_flags = SA_SIGINFO;
	if (sigaction(SIGSYS, &on_trap, 0) || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) ||
	    syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program))
		fail("no filter");
}

static void grants(int wanted)
{
	time_t end_of_patience = time(0) + PATIENCE;
	int seen = 0;

	while (seen < wanted && time(0) < end_of_patience) {
		rseq_slice_t token = rseq_slice_begin();
		const volatile unsigned char *ctrl = token.ctrl;

		for (volatile int i = 0; i < 120; i++)
			;
		if (ctrl && ctrl[1])
			seen++;
		rseq_slice_end(token);
		if (ctrl && (ctrl[0] || ctrl[1]))
			fail("the section ended, and the control word is not 0");
	}
	if (seen < wanted)
		fail("too few grants");
}

/* Whether the area or the cause is the wanted one, and sections do as they must then. */
static void sections(void)
{
	int why, area, error;

	errno = 1234;
	rseq_slice_end(rseq_slice_begin());
	if (errno != 1234)
		fail("errno changed");
	why = rseq_slice_support();
	area = rseq_slice_area();
	error = rseq_slice_support_errno();
	if (why != wanted_why || area != wanted_area || error != (why == RSEQ_SLICE_WHY_REFUSED ? EPERM : 0)) {
		fprintf(stderr, "# filter: cause %d, error %d, area %d instead of %d, %d: %s\n", why, error, area,
			wanted_why, wanted_area, rseq_slice_strwhy(why));
		failures = 1;
	} else if (!why) {
		grants(GRANTS);
	}
}

static void *thread(void *argument)
{
	(void)argument;
	sections();
	return 0;
}

int main(int argc, char **argv)
{
	static const char *const areas[] = { "none", "libc", "own", "taken-over" };
	unsigned int policy = 0;
	const struct word *call = find(calls, argc > 1 ? argv[1] : 0);
	const struct word *answer = find(answers, argc > 2 ? argv[2] : 0);
	int i, no_yield = 0, late = 0, in_thread = 0;
	pthread_t id;
	pid_t competitor;

	if (!call->name || !answer->name)
		return fprintf(stderr, "filter: which call, which answer? See the head of filter.c\n"), 2;
	for (i = 3; i < argc; i++) {
		const char *value = i + 1 < argc ? argv[i + 1] : "";

		if (!strcmp(argv[i], "--take-over"))
			policy |= RSEQ_SLICE_TAKE_OVER;
		else if (!strcmp(argv[i], "--no-yield"))
			no_yield = 1;
		else if (!strcmp(argv[i], "--late"))
			late = 1;
		else if (!strcmp(argv[i], "--thread"))
			in_thread = 1;
		else if (!strcmp(argv[i], "--exit") && !strcmp(value, "getpid") && ++i)
			policy |= RSEQ_SLICE_EXIT_GETPID;
		else if (!strcmp(argv[i], "--why") && ++i)
			wanted_why = atoi(value);
		else if (!strcmp(argv[i], "--area") && ++i)
			while (wanted_area < 3 && strcmp(areas[wanted_area], value))
				wanted_area++;
		else
			return fprintf(stderr, "filter: what is %s? See the head of filter.c\n", argv[i]), 2;
	}
	if (stay_on_first_cpu() || rseq_slice_policy(policy))
		fail("no CPU 0, or no policy");
	competitor = start_competitor();
	if (late)
		grants(2);
	if (in_thread && rseq_slice_support())
		fail("the first thread has no extensions");
	if (no_yield)
		refuse(find(calls, "yield")->value, SECCOMP_RET_KILL_PROCESS);
	refuse(call->value, answer->value);
	if (!in_thread)
		sections();
	else if (pthread_create(&id, 0, thread, 0) || pthread_join(id, 0))
		fail("no thread");
	kill(competitor, SIGKILL);
	return failures;
}
