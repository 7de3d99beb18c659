/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Prints why this process has no extension, or nothing. */
#include <stdio.h>

#include <rseq_slice.h>

int main(void)
{
	int why = rseq_slice_support();

	if (why)
		puts(rseq_slice_strwhy(why));
	return 0;
}
