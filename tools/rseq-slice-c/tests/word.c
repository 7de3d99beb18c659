/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * What sections do to a control word that no kernel looks at, and how set-up of a thread ends on a
 * kernel without the extension. C11 and C++11.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "word.h"

static int failures;

#define EXPECT(condition)                                                        \
	do {                                                                     \
		if (!(condition)) {                                              \
			failures++;                                              \
			fprintf(stderr, "line %d: not %s\n", __LINE__, #condition); \
		}                                                                \
	} while (0)

/* The word has neighbors: an access to more than a byte changes or sees them. */
static volatile unsigned char control[4];

static int is(unsigned char request, unsigned char granted)
{
	return control[0] == request && control[1] == granted && control[2] == 0xa5 && control[3] == 0x5a;
}

static void set(unsigned char request, unsigned char granted)
{
	control[0] = request;
	control[1] = granted;
	control[2] = 0xa5;
	control[3] = 0x5a;
}

static void first_use(void)
{
	rseq_slice_t token;
	int why, i;

	EXPECT(rseq_slice_policy(1U << 8) == -2);
	EXPECT(rseq_slice_policy(RSEQ_SLICE_EXIT_YIELD | RSEQ_SLICE_EXIT_GETPID) == -2);
	EXPECT(rseq_slice_policy(RSEQ_SLICE_TAKE_OVER) == 0);
	EXPECT(other_policy(0) == 0);
	errno = 1234;
	token = other_begin();
	EXPECT(errno == 1234);
	rseq_slice_end(token);
	EXPECT(rseq_slice_policy(0) == -1);
	EXPECT(other_policy(0) == -1);

	why = rseq_slice_support();
	EXPECT(why >= 0 && why <= RSEQ_SLICE_WHY_REFUSED && why != RSEQ_SLICE_WHY_SWITCHED_OFF);
	EXPECT(why != RSEQ_SLICE_WHY_PLATFORM);
	EXPECT((token.ctrl != 0) == (why == 0));
	EXPECT((rseq_slice_ctrl() != 0) == (why == 0));
	EXPECT((rseq_slice_area() != RSEQ_SLICE_AREA_NONE) == (why == 0));
	EXPECT((rseq_slice_support_errno() != 0) == (why == RSEQ_SLICE_WHY_REFUSED));
	EXPECT(rseq_slice_support() == why);
	EXPECT(errno == 1234);

	for (why = 0; why <= RSEQ_SLICE_WHY_REFUSED + 1; why++) {
		EXPECT(strlen(rseq_slice_strwhy(why)) > 20);
		for (i = 0; i < why; i++)
			EXPECT(strcmp(rseq_slice_strwhy(why), rseq_slice_strwhy(i)));
	}
	EXPECT(rseq_slice_strwhy(-1) == rseq_slice_strwhy(RSEQ_SLICE_WHY_REFUSED + 1));
}

static void one_section(void)
{
	rseq_slice_t token;

	set(0, 0);
	token = rseq_slice_begin();
	EXPECT(token.ctrl == control && is(1, 0));
	rseq_slice_end(token);
	EXPECT(is(0, 0));

	/* Refused or revoked meanwhile. */
	token = rseq_slice_begin();
	set(0, 0);
	rseq_slice_end(token);
	EXPECT(is(0, 0));
}

static void nested_sections(void)
{
	rseq_slice_t outer, inner;

	set(0, 0);
	outer = rseq_slice_begin();
	inner = other_begin();
	EXPECT(!inner.ctrl && is(1, 0));
	rseq_slice_end(inner);
	EXPECT(is(1, 0));

	set(0, 1);
	inner = rseq_slice_begin();
	EXPECT(!inner.ctrl && is(0, 1));
	rseq_slice_end(inner);
	EXPECT(is(0, 1));

	set(0, 0);
	inner = other_begin();
	EXPECT(inner.ctrl == control && is(1, 0));
	rseq_slice_end(inner);
	EXPECT(is(0, 0));
	rseq_slice_end(outer);
	EXPECT(is(0, 0));

	set(0, 0);
	{
		RSEQ_SLICE_SECTION(around);
		{
			RSEQ_SLICE_SECTION(within);
			EXPECT(around.ctrl && !within.ctrl && is(1, 0));
		}
		EXPECT(is(1, 0));
	}
	EXPECT(is(0, 0));
}

/* The character of the line "Seccomp:", by the C library. */
static int seccomp(void)
{
	char line[4096];
	FILE *file = fopen("/proc/thread-self/status", "r");
	int mode = 0;

	while (file && fgets(line, sizeof(line), file))
		if (!strncmp(line, "Seccomp:\t", 9))
			mode = line[9];
	if (file)
		fclose(file);
	return mode;
}

static void granted_section(void)
{
	unsigned char how = seccomp() == '0' ? RSEQ_SLICE_EXIT_YIELD : RSEQ_SLICE_EXIT_GETPID;
	rseq_slice_t token;
	int i;

	EXPECT(rseq_slice_state_v0.exit == 0);
	for (i = 0; i < 2; i++) {
		set(0, 0);
		token = rseq_slice_begin();
		set(0, 1);
		errno = 1234;
		rseq_slice_end(token);
		EXPECT(errno == 1234);
		EXPECT(is(0, 1));
		/* Only a section that found a grant looks how to end it. */
		EXPECT(rseq_slice_state_v0.exit == how);
	}
}

static void no_section(void)
{
	rseq_slice_t token;

	set(0, 0);
	rseq_slice_tls_v0 = 0;
	token = rseq_slice_begin();
	EXPECT(!token.ctrl && is(0, 0));
	rseq_slice_end(token);
	EXPECT(is(0, 0) && rseq_slice_unset_v0[0] == 0xff && rseq_slice_unset_v0[1] == 0);
}

int word_test(void)
{
	first_use();
	rseq_slice_tls_v0 = control;
	one_section();
	nested_sections();
	granted_section();
	no_section();
	return failures != 0;
}
