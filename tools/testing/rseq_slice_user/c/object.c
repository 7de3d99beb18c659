/* SPDX-License-Identifier: GPL-2.0 */
/* What the tests call in a shared object: object/src/lib.rs over the C header. */
#include <stdbool.h>
#include <stddef.h>

#include "rseq_slice.h"

int object_support(bool take_over);
int object_section(unsigned int length);

int object_support(bool take_over)
{
	int why;

	/* Too late for all calls but the first. */
	(void)rseq_slice_policy(take_over ? RSEQ_SLICE_TAKE_OVER : 0);
	why = rseq_slice_support();
	return why ? why : 100 + rseq_slice_area();
}

int object_section(unsigned int length)
{
	volatile unsigned char *word = rseq_slice_ctrl();
	rseq_slice_t token = rseq_slice_begin();
	volatile unsigned int i;
	int granted;

	for (i = 0; i < length; i++)
		;
	granted = word && word[1];
	rseq_slice_end(token);
	return granted;
}
