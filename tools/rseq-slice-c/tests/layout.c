/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * A C library's area in which the extension is on already: it is used if the control word has this
 * header's layout. A filter reports the mode. It can report only 0, for success, which is taken for mode 3.
 */
#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/prctl.h>

#include <linux/filter.h>
#include <linux/seccomp.h>

#include "rseq_slice.h"

/* These are found before those of the C library. */
extern unsigned int __rseq_size;
extern ptrdiff_t __rseq_offset;
unsigned int __rseq_size = 64;
ptrdiff_t __rseq_offset;
/* Registered, available and enabled. */
static __thread unsigned int area[16] __attribute__((aligned(64))) = { 0, 0, 0, 0, 0x30 };

/* Another mode is told if there is an argument. Else the call fails, and what the flags say counts. */
int main(int argc, char **argv)
{
	unsigned int answer = SECCOMP_RET_ERRNO | (argc > 1 ? 0 : EPERM);
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, RSEQ_SLICE_NR_PRCTL_, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, answer),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog filter = { sizeof(code) / sizeof(*code), code };

	(void)argv;
	__rseq_offset = (char *)area - rseq_slice_thread_pointer_();
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter)) {
		perror("seccomp");
		return 1;
	}
	printf("# cause %d, area %d\n", rseq_slice_support(), rseq_slice_area());
	return rseq_slice_support() != (argc > 1 ? RSEQ_SLICE_WHY_FOREIGN_AREA : 0);
}
