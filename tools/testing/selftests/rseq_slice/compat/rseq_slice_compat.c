// SPDX-License-Identifier: GPL-2.0
/*
 * The core of the behavior tests as a 32-bit program: registration, grant,
 * yield, abort and expiry, in both layouts. Prints KTAP. Wants root, debugfs
 * and guest time that is deterministic, as the other tests of this folder.
 */
#include "sys.h"

#define SIGNATURE 0x53053053
#define AVAILABLE (1 << 4)
#define PR_RSEQ_SLICE_EXTENSION 79
#define PR_SET_PDEATHSIG 1
#define SIGKILL 9
#define SIGSEGV 11
/* As everywhere in kselftest. */
#define SKIPPED 4
/* Nanoseconds of an extension here. */
#define LENGTH 20000

static struct {
	u32 cpu_id_start, cpu_id;
	u64 rseq_cs;
	u32 flags, node_id, mm_cid, slice_ctrl;
	u8 unused[32];
} volatile area __attribute__((aligned(64)));

static u32 request, granted;
static u32 number, failed;

static void result(int good, const char *name, const char *layout)
{
	number++;
	if (!good)
		failed++;
	say(good ? "ok " : "not ok ");
	say_number(number);
	say(" " ABI ".");
	say(name);
	say(layout);
	say("\n");
}

static void skip(const char *name, const char *layout, const char *why)
{
	number++;
	say("ok ");
	say_number(number);
	say(" " ABI ".");
	say(name);
	say(layout);
	say(" # SKIP ");
	say(why);
	say("\n");
}

static void comment(const char *text, u32 value)
{
	say("# ");
	say(text);
	say(" ");
	say_number(value);
	say("\n");
}

/* One of the kernel's counters, or all ones. */
static u32 counter(const char *name)
{
	static char text[2048];
	u32 length = length_of(name), value = 0;
	long fd = sys(SYS_open, "/sys/kernel/debug/rseq/stats", 0, 0);
	long n = sys(SYS_read, fd, text, sizeof(text) - 1);
	char *at;

	sys(SYS_close, fd, 0, 0);
	for (at = text; n > 0 && at < text + n - length; at++) {
		u32 i = 0;

		while (i < length && at[i] == name[i])
			i++;
		if (i < length)
			continue;
		for (at += length; *at == ' '; at++)
			;
		for (; *at >= '0' && *at <= '9'; at++)
			value = value * 10 + *at - '0';
		return value;
	}
	return ~0U;
}

/* Sets the length of an extension to what is in the text, and keeps there what it was. */
static void exchange_length(char *text)
{
	static char old[16];
	long fd = sys(SYS_open, "/sys/kernel/debug/rseq/slice_ext_nsec", 2, 0), n, i;

	n = sys(SYS_read, fd, old, sizeof(old) - 1);
	sys(SYS_write, fd, text, length_of(text));
	sys(SYS_close, fd, 0, 0);
	for (i = 0; i < (long)sizeof(old); i++)
		text[i] = i < n ? old[i] : 0;
}

static void become(u32 priority)
{
	u32 mask = 1, fifo = 1;

	sys(SYS_sched_setaffinity, 0, sizeof(mask), &mask);
	sys(SYS_sched_setscheduler, 0, fifo, &priority);
}

/* A process that wants the CPU every 100 us or so, from its first 10 ms on. */
static long competitor(void)
{
	struct timespec pause = { 0, 100 * 1000 }, start = { 0, 10 * 1000 * 1000 };
	long pid = sys(SYS_fork, 0, 0, 0);

	if (pid) {
		sys(SYS_nanosleep, &start, 0, 0);
		return pid;
	}
	sys(SYS_prctl, PR_SET_PDEATHSIG, SIGKILL, 0);
	become(20);
	for (;;)
		sys(SYS_nanosleep, &pause, 0, 0);
}

/* Requests until there is a grant. Makes no system call with one. */
static int obtain(void)
{
	u32 attempts, turns;

	for (attempts = 0; attempts < 50; attempts++) {
		area.slice_ctrl = request;
		for (turns = 0; turns < 400000; turns++) {
			if (area.slice_ctrl == granted)
				return 1;
			if (!area.slice_ctrl)
				break;
		}
	}
	area.slice_ctrl = 0;
	return 0;
}

/* Waits until the grant is gone. */
static int outlast(u32 nsec)
{
	u64 start = ticks();

	while (area.slice_ctrl == granted)
		if (ticks() - start > nsec)
			return 0;
	return 1;
}

/* Grants that tests of calls want to see ended by the call, and those that they have for it. */
#define WANTED 20
#define TRIES 40

static void yield(const char *name, const char *layout)
{
	u32 before = counter("syield:"), yields = 0;
	int good = 1, i;

	/* A tick may have revoked a grant before the call. */
	for (i = 0; good && i < TRIES && yields < WANTED; i++) {
		good = obtain();
		yields += sys(SYS_rseq_slice_yield, 0, 0, 0);
		good = good && !area.slice_ctrl;
	}
	comment("yields", yields);
	result(good && yields == WANTED && counter("syield:") - before == yields, name, layout);
}

static void yield_without_grant(const char *name, const char *layout)
{
	result(sys(SYS_rseq_slice_yield, 0, 0, 0) == 0, name, layout);
}

static void abort(const char *name, const char *layout)
{
	u32 before = counter("sabort:"), aborts = 0;
	int good = 1, i;

	for (i = 0; good && i < TRIES && aborts < WANTED; i++) {
		good = obtain() && sys(SYS_getpid, 0, 0, 0) > 0 && !area.slice_ctrl;
		aborts = counter("sabort:") - before;
	}
	comment("aborts", aborts);
	result(good && aborts == WANTED, name, layout);
}

static void expiry(const char *name, const char *layout)
{
	u32 before = counter("sexpir:"), expiries;
	int good = 1, i;

	for (i = 0; good && i < 20; i++)
		good = obtain() && outlast(3 * LENGTH) && sys(SYS_rseq_slice_yield, 0, 0, 0) == 0;
	expiries = counter("sexpir:") - before;
	comment("expiries", expiries);
	result(good && expiries, name, layout);
}

#ifdef __i386__
static u32 handled;
static u8 stack[16384] __attribute__((aligned(16)));

/* Goes on after the call without a system call, as a return would be one. */
static void on_fault(int signal)
{
	handled++;
	__asm__ volatile("jmp after_call");
	__builtin_unreachable();
}

/*
 * A fast system call whose sixth argument, on the stack, cannot be fetched:
 * the kernel leaves without having looked at the call. SYSCALL is what AMD's
 * processors have, as QEMU's.
 */
static __attribute__((noinline, noclone)) void call_without_stack(void)
{
	static u32 stack_pointer, frame_pointer;

	__asm__ volatile("movl %%esp, %0\n"
			 "movl %%ebp, %1\n"
			 "movl $16, %%esp\n"
			 "movl %2, %%eax\n"
			 "syscall\n"
			 "after_call:\n"
			 "movl %0, %%esp\n"
			 "movl %1, %%ebp\n"
			 : "+m"(stack_pointer), "+m"(frame_pointer)
			 : "i"(SYS_getpid)
			 : "eax", "ebx", "ecx", "edx", "esi", "edi", "memory");
}

static void faulting_fast_call(const char *name, const char *layout)
{
	struct {
		void *handler;
		u32 flags, restorer;
		u64 mask;
	} action = { on_fault, 0x48000000, 0, 0 };
	struct {
		void *start;
		u32 flags, size;
	} other = { stack, 0, sizeof(stack) };
	u32 delay, left = 0, unbounded = 0, grants = 0, before = handled;

	sys(SYS_sigaltstack, &other, 0, 0);
	sys4(SYS_rt_sigaction, SIGSEGV, (long)&action, 0, sizeof(action.mask));
	for (delay = 0; delay < LENGTH + 4000; delay += 97) {
		u64 start;

		if (!obtain())
			continue;
		grants++;
		for (start = ticks(); ticks() - start < delay;)
			;
		call_without_stack();
		left += area.slice_ctrl == granted;
		/* Whatever is left of the grant, its time ends. */
		unbounded += !outlast(3 * LENGTH);
		area.slice_ctrl = 0;
	}
	comment("grants", grants);
	comment("left after the call", left);
	comment("without an end", unbounded);
	result(grants > 100 && handled - before >= grants && !unbounded, name, layout);
}
#endif

static void (*const tests[])(const char *name, const char *layout) = {
	yield,
	yield_without_grant,
	abort,
	expiry,
#ifdef __i386__
	faulting_fast_call,
#endif
};
static const char *const names[] = {
	"yield_returns_1", "yield_without_grant_returns_0", "getpid_ends_grant",
	"grant_expires", "faulting_fast_call_ends_grant",
};
#define TESTS (sizeof(tests) / sizeof(tests[0]))

static int wants(u32 enable)
{
	return sys4(SYS_prctl, PR_RSEQ_SLICE_EXTENSION, 2, enable, 0);
}

static int run(void)
{
	u32 grants = counter("sgrant:"), ends, i;
	static const char *const ways[] = { "syield:", "sabort:", "srevok:", "sdied:" };
	u32 before[4];
	long pid, error;

	for (i = 0; i < 4; i++)
		before[i] = counter(ways[i]);
	error = sys4(SYS_rseq, (long)&area, sizeof(area), 0, SIGNATURE);
	say("KTAP version 1\n1..");
	if (!error && !(area.flags & AVAILABLE)) {
		say("0 # SKIP there is no extension\n");
		return SKIPPED;
	}
	say_number(3 + 2 * TESTS);
	say("\n");
	result(!error && area.flags == AVAILABLE, "registration_sets_flags", "");
	if (error)
		return 1;
	become(10);
	pid = competitor();
	result(!wants(1) && sys(SYS_prctl, PR_RSEQ_SLICE_EXTENSION, 1, 0) == 1, "prctl_enables", ".bytes");
	request = 1;
	granted = 1 << 8;
	for (i = 0; i < TESTS; i++)
		tests[i](names[i], ".bytes");
	granted = 2;
	error = wants(3);
	for (i = 0; i < TESTS; i++) {
		if (error)
			skip(names[i], ".bits", "bits-layout-is-invalid");
		else
			tests[i](names[i], ".bits");
	}
	sys(SYS_kill, pid, SIGKILL, 0);
	sys4(SYS_wait4, pid, 0, 0, 0);
	grants = counter("sgrant:") - grants;
	for (i = ends = 0; i < 4; i++)
		ends += counter(ways[i]) - before[i];
	comment("grants", grants);
	comment("ends", ends);
	result(error ? grants >= ends : grants == ends, "counters_add_up", "");
	return failed ? 1 : 0;
}

__attribute__((force_align_arg_pointer, used)) void begin(void)
{
	static char length[16] = "20000\n";
	int status;

	exchange_length(length);
	status = run();
	exchange_length(length);
	sys(SYS_exit_group, status, 0, 0);
}

__asm__(".globl _start\n_start: call begin\n");
