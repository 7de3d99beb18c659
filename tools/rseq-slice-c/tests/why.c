/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Names area and cause of its thread. Linked against a C library without __rseq_size. */
#include "rseq_slice.h"

extern int printf(const char *, ...);
extern void exit(int) __attribute__((noreturn));
void _start(void);

__attribute__((force_align_arg_pointer)) void _start(void)
{
	int policy = rseq_slice_policy(RSEQ_SLICE_TAKE_OVER);

	rseq_slice_end(rseq_slice_begin());
	printf("policy %d, cause %d, area %d\n", policy, rseq_slice_support(), rseq_slice_area());
	exit(0);
}
