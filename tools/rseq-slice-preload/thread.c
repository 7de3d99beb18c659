// SPDX-License-Identifier: MIT OR Apache-2.0
/* The state of a thread, and what becomes of it at the first lock that it takes. */
#include "section.h"

#include <rseq_slice.h>

word_t word_unset[4] = { 1 };
word_t word_off[4] = { [WORD_REQUEST] = 1, [WORD_OFF] = 1 };
word_t word_slow[4] = { 1 };

__thread struct thread thread = { .spin = word_unset, .mutex = word_unset, .word = word_unset };

COLD bool thread_set_up(void)
{
	word_t *word = config.absent ? NULL : rseq_slice_ctrl();

	if (config.stats)
		stats_thread(config.absent ? config.absent : rseq_slice_support());
	thread.word = word ? word : word_off;
	thread.mutex = config.stats ? word_slow : thread.word;
	thread.spin = config.spin ? thread.mutex : word_off;
	return word && !(word[WORD_REQUEST] | word[WORD_GRANTED]);
}

COLD void section_leave(void)
{
	if (config.stats)
		stats_yield();
	rseq_slice_leave();
}

/* As the last thing of a function: the path without a grant then saves no registers. */
COLD int section_leave_with(int result)
{
	section_leave();
	return result;
}
