/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * A thread for which the C library has registered no area, although its areas are long enough: set-up
 * registers one of the header's. A filter answers that with an error by which the test recognizes it.
 */
#include <stddef.h>
#include <stdio.h>
#include <sys/prctl.h>

#include <linux/filter.h>
#include <linux/seccomp.h>

#include "rseq_slice.h"

#define ANSWER 1234

/* These are found before those of the C library. */
extern unsigned int __rseq_size;
extern ptrdiff_t __rseq_offset;
unsigned int __rseq_size = 64;
ptrdiff_t __rseq_offset;
/* Its cpu_id says that it is not registered. */
static __thread unsigned int area[16] __attribute__((aligned(64))) = { 0, 0xffffffff };

int main(void)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, RSEQ_SLICE_NR_RSEQ_, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ANSWER),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog filter = { sizeof(code) / sizeof(*code), code };

	__rseq_offset = (char *)area - rseq_slice_thread_pointer_();
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter)) {
		perror("seccomp");
		return 1;
	}
	printf("# cause %d, error %d\n", rseq_slice_support(), rseq_slice_support_errno());
	return rseq_slice_support_errno() != ANSWER;
}
