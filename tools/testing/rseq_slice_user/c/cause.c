/* SPDX-License-Identifier: GPL-2.0 */
/* cause [take-over]: prints the area of the first thread, or the cause why there is none, as numbers. */
#include <stdio.h>

#include "rseq_slice.h"

int main(int argc, char **argv)
{
	int why;

	(void)argv;
	if (rseq_slice_policy(argc > 1 ? RSEQ_SLICE_TAKE_OVER : 0))
		return 1;
	why = rseq_slice_support();
	if (why)
		printf("cause %d %d\n", why, rseq_slice_support_errno());
	else
		printf("area %d\n", rseq_slice_area());
	return 0;
}
