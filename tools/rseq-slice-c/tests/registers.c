/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * x86-64: the first section of a thread changes no register but rax, r11 and the flags, nor the red
 * zone; and the unwinder gets through it from set-up.
 */
#define _GNU_SOURCE
#include <execinfo.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

#include "rseq_slice.h"

#define REGISTERS 13
#define RED_ZONE 16
#define VECTORS 16

struct seen {
	unsigned long general[REGISTERS], red_zone[RED_ZONE], vector[VECTORS];
	volatile unsigned char *token;
};

void probe(struct seen *seen, volatile unsigned char *ctrl);
__asm__(".text\n"
	".set n, 0\n"
	"probe:\n"
	"\t.cfi_startproc\n"
	"\tpushq %rbx\n\tpushq %rbp\n\tpushq %r12\n\tpushq %r13\n\tpushq %r14\n\tpushq %r15\n\tpushq %rdi\n"
	"\t.cfi_adjust_cfa_offset 56\n"
	"\t.cfi_offset %rbx, -16\n\t.cfi_offset %rbp, -24\n\t.cfi_offset %r12, -32\n"
	"\t.cfi_offset %r13, -40\n\t.cfi_offset %r14, -48\n\t.cfi_offset %r15, -56\n"
	"\tmovq %rsi, %rax\n"
	".irp register, rbx, rcx, rdx, rsi, rdi, rbp, r8, r9, r10, r12, r13, r14, r15\n"
	"\tmovabsq $0x5a5a5a5a00000000 + n, %\\register\n"
	".set n, n + 1\n"
	".endr\n"
	".set n, 0\n"
	".rept 16\n"
	"\tmovq %rbx, -8 - 8 * n(%rsp)\n"
	"\taddq %rcx, -8 - 8 * n(%rsp)\n"
	".set n, n + 1\n"
	".endr\n"
	".irp n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15\n"
	"\tmovq %rdx, %xmm\\n\n"
	".endr\n"
	"\tleaq 1f(%rip), %r11\n"
	"\tjmp rseq_slice_enter_v0\n"
	"1:\tmovq (%rsp), %r11\n"
	".set n, 0\n"
	".irp register, rbx, rcx, rdx, rsi, rdi, rbp, r8, r9, r10, r12, r13, r14, r15\n"
	"\tmovq %\\register, 8 * n(%r11)\n"
	".set n, n + 1\n"
	".endr\n"
	".set n, 0\n"
	".rept 16\n"
	"\tmovq -8 - 8 * n(%rsp), %rcx\n"
	"\tmovq %rcx, 8 * 13 + 8 * n(%r11)\n"
	".set n, n + 1\n"
	".endr\n"
	".irp n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15\n"
	"\tmovq %xmm\\n, 8 * 29 + 8 * \\n(%r11)\n"
	".endr\n"
	"\tmovq %rax, 8 * 45(%r11)\n"
	"\tpopq %rdi\n\tpopq %r15\n\tpopq %r14\n\tpopq %r13\n\tpopq %r12\n\tpopq %rbp\n\tpopq %rbx\n"
	"\t.cfi_adjust_cfa_offset -56\n"
	"\tret\n"
	"\t.cfi_endproc\n"
	".set n, 0\n");

static int failures, traps;
static char **frames;
static int depth;

static void fail(const char *what, long number)
{
	failures++;
	fprintf(stderr, "# registers: %s %ld\n", what, number);
}

/* A filter has stopped rseq(2), in the middle of set-up. */
static void trapped(int signal, siginfo_t *info, void *context)
{
	void *addresses[32];
	rseq_slice_t token;

	(void)signal;
	(void)info;
	token = rseq_slice_begin();
	if (token.ctrl)
		fail("a handler in set-up got a section", 0);
	rseq_slice_end(token);
	if (!traps++) {
		depth = backtrace(addresses, 32);
		frames = backtrace_symbols(addresses, depth);
	}
	((ucontext_t *)context)->uc_mcontext.gregs[REG_RAX] = -13;
}

static void filter(void)
{
	struct sock_filter program[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_rseq, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_TRAP),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog all = { sizeof(program) / sizeof(program[0]), program };
	struct sigaction action;

	memset(&action, 0, sizeof(action));
	action.sa_sigaction = trapped;
	action.sa_flags = SA_SIGINFO;
	if (sigaction(SIGSYS, &action, 0) || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) ||
	    prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &all, 0, 0)) {
		perror("# registers: a seccomp filter");
		exit(1);
	}
}

void known_caller(struct seen *seen);
__attribute__((noinline)) void known_caller(struct seen *seen)
{
	probe(seen, rseq_slice_tls_v0);
	__asm__ __volatile__("" ::: "memory");
}

int main(void)
{
	struct seen seen;
	int i, found = 0;

	filter();
	known_caller(&seen);
	for (i = 0; i < REGISTERS; i++)
		if (seen.general[i] != 0x5a5a5a5a00000000UL + (unsigned long)i)
			fail("changed: general register", i);
	for (i = 0; i < RED_ZONE; i++)
		if (seen.red_zone[i] != 2 * 0x5a5a5a5a00000000UL + 1)
			fail("changed: word of the red zone", i);
	for (i = 0; i < VECTORS; i++)
		if (seen.vector[i] != 0x5a5a5a5a00000002UL)
			fail("changed: vector register", i);
	if (seen.token)
		fail("a token without an area", 0);
	if (rseq_slice_support() != RSEQ_SLICE_WHY_REFUSED || rseq_slice_support_errno() != 13)
		fail("the cause is", rseq_slice_support());
	for (i = 0; i < depth; i++)
		found |= strstr(frames[i], "known_caller") != 0;
	if (!traps || !found)
		fail("the caller is not in the backtrace of frames", depth);
	return failures != 0;
}
