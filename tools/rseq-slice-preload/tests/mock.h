/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * A kernel for machines whose kernel has no extension: a second preloaded object, which gives each
 * thread a control word and lets librseq-slice-preload.so, as it was built, use it. Needs RSEQ_SLICE=off,
 * so that the library itself looks for no extension.
 */
#ifndef MOCK_H
#define MOCK_H

#include <stdbool.h>

/* The calling thread's control word. */
volatile unsigned char *mock_word(void);

/* How many locks the library thinks that the calling thread holds. */
unsigned long mock_held(void);

/* What the kernel does with a pending request. Whether there was one. */
bool mock_grant(void);

#endif
