/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * A program without sections and two shared objects with them: the objects share one area of their
 * own, and nest.
 */
#include <stdio.h>

#include "rseq_slice.h"

#define DECLARE(object)                                \
	extern int object##_section(void (*work)(void)); \
	extern int object##_support(void);              \
	extern volatile unsigned char *object##_ctrl(void)
DECLARE(one);
DECLARE(two);

static int inner, outer;

static void nothing(void) {}

static void nest(void)
{
	/* The section of two makes a request only if the kernel has just refused that of one. */
	inner += two_section(nothing);
}

int main(void)
{
	int one = one_support(), two = two_support(), i;

	for (i = 0; i < 1000; i++)
		outer += one_section(nest);
	printf("# causes %d %d, %d requests outside, %d inside\n", one, two, outer, inner);
	if (one != two || one_ctrl() != two_ctrl())
		return fprintf(stderr, "# objects: two control words\n"), 1;
	return one ? outer + inner != 0 : !(outer > 900 && inner < 100);
}
