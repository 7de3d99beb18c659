/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#include "rseq_slice.h"
#include "section.h"

int plugin_section(void (*work)(void))
{
	rseq_slice_t token = rseq_slice_begin();

	work();
	rseq_slice_end(token);
	return token.ctrl != 0;
}

int plugin_support(void)
{
	return rseq_slice_support();
}

volatile unsigned char *plugin_ctrl(void)
{
	return rseq_slice_ctrl();
}
