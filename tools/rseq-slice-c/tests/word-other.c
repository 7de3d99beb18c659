/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#include "word.h"

rseq_slice_t other_begin(void)
{
	return rseq_slice_begin();
}

int other_policy(unsigned int flags)
{
	return rseq_slice_policy(flags);
}
