// SPDX-License-Identifier: MIT OR Apache-2.0
/* The state of a thread, which is set up at the first lock that it takes. */
#include "section.h"

#include <rseq_slice.h>

word_t word_unset[4] = { 1 };
word_t word_off[4] = { [WORD_REQUEST] = 1, [WORD_OFF] = 1 };
word_t word_slow[4] = { 1 };

NAMED_IN_ASSEMBLY __thread struct thread thread = {
	.word = word_unset, .spin = word_unset, .mutex = word_unset, .rwlock = word_unset,
};

COLD bool thread_set_up(void)
{
	word_t *word = config.absent ? NULL : rseq_slice_ctrl(), *fast_path;

	if (config.stats)
		stats_thread(config.absent ? config.absent : rseq_slice_support());
	thread.word = word ? word : word_off;
	fast_path = config.stats ? word_slow : thread.word;
	thread.spin = config.spin ? fast_path : word_off;
	thread.rwlock = config.rwlock ? fast_path : word_off;
	thread.mutex = config.mutex ? fast_path : word_off;
	for (unsigned int kind = 0; kind < sizeof(thread.omitted); kind++)
		thread.omitted[kind] = !mutex_selected((int)kind);
	return word && !(word[WORD_REQUEST] | word[WORD_GRANTED]);
}

COLD void section_leave(void)
{
	if (config.stats)
		stats_yield();
	rseq_slice_leave();
}

/* As the last thing of a function: the path without a grant then saves no registers. */
NAMED_IN_ASSEMBLY COLD int section_leave_with(int result)
{
	section_leave();
	return result;
}
