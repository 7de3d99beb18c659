/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * librseq-slice-ffi: the functions of rseq_slice.h out of line, under the same names, for languages
 * that cannot include C headers and for compilers that lack gcc's extensions.
 *
 * The token is a structure of one pointer, passed and returned by value. Declare it as such: on
 * s390x a structure is not returned as a pointer is. C programs define RSEQ_SLICE_OUT_OF_LINE before
 * they include rseq_slice.h. A section costs two calls more than with the header.
 */
#define RSEQ_SLICE_API_ __attribute__((visibility("default")))
#define rseq_slice_begin rseq_slice_begin_inline_
#define rseq_slice_end rseq_slice_end_inline_
#include "rseq_slice.h"
#undef rseq_slice_begin
#undef rseq_slice_end

RSEQ_SLICE_API_ rseq_slice_t rseq_slice_begin(void);
RSEQ_SLICE_API_ rseq_slice_t rseq_slice_begin(void)
{
	return rseq_slice_begin_inline_();
}

RSEQ_SLICE_API_ void rseq_slice_end(rseq_slice_t token);
RSEQ_SLICE_API_ void rseq_slice_end(rseq_slice_t token)
{
	rseq_slice_end_inline_(token);
}
