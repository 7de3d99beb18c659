/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Between the two translation units of the object that word.c tests. */
#ifndef WORD_H
#define WORD_H

#include "rseq_slice.h"

#ifdef __cplusplus
extern "C" {
#endif

int word_test(void);
__attribute__((visibility("hidden"))) rseq_slice_t other_begin(void);
__attribute__((visibility("hidden"))) int other_policy(unsigned int flags);

#ifdef __cplusplus
}
#endif

#endif
