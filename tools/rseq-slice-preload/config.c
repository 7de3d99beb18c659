// SPDX-License-Identifier: MIT OR Apache-2.0
/* The environment, read once, before main. */
#include "section.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <rseq_slice.h>

#define LOOKS 100
#define EXIT_WITHOUT 69		/* EX_UNAVAILABLE of <sysexits.h> */

struct config config = { .mutex_want = -1, .looks = LOOKS };

void complain(const char *format, ...)
{
	char line[512] = "librseq-slice-preload: ";
	size_t start = strlen(line), length;
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(line + start, sizeof(line) - start - 1, format, arguments);
	va_end(arguments);
	length = strlen(line);
	line[length++] = '\n';
	/* An error could not be reported. */
	if (write(STDERR_FILENO, line, length) < 0)
		return;
}

/* The value of a variable as its place in a list of words; the first one is the default. */
static int choice(const char *name, const char *const words[])
{
	const char *value = secure_getenv(name);
	char known[64] = "";

	if (!value || !*value)
		return 0;
	for (int i = 0; words[i]; i++) {
		if (!strcmp(value, words[i]))
			return i;
		snprintf(known + strlen(known), sizeof(known) - strlen(known), "%s%s", i ? ", " : "", words[i]);
	}
	complain("%s=%s is none of %s: %s is used", name, value, known, words[0]);
	return 0;
}

static unsigned int looks(void)
{
	const char *value = secure_getenv("RSEQ_SLICE_LOOKS");
	unsigned long number;
	char *end;

	if (!value || !*value)
		return LOOKS;
	number = strtoul(value, &end, 10);
	if (*value >= '0' && *value <= '9' && !*end && number >= 1 && number <= 1000000)
		return (unsigned int)number;
	complain("RSEQ_SLICE_LOOKS=%s is not a number from 1 to 1000000: %d is used", value, LOOKS);
	return LOOKS;
}

struct locks {
	bool spin, adaptive, mutex, rwlock, omp;
};

static struct locks locks(void)
{
	const struct locks standard = { .spin = true };
	const char *value = secure_getenv("RSEQ_SLICE_LOCKS"), *word;
	struct locks chosen = { 0 };
	size_t length;

	if (!value || !*value)
		return standard;
	for (word = value; ; word += length + 1) {
		length = strcspn(word, ",");
#define IS(name) (length == strlen(name) && !memcmp(word, name, length))
		if (IS("spin"))
			chosen.spin = true;
		else if (IS("adaptive"))
			chosen.adaptive = true;
		else if (IS("mutex"))
			chosen.mutex = true;
		else if (IS("rwlock"))
			chosen.rwlock = true;
		else if (IS("omp"))
			chosen.omp = true;
		else if (IS("all"))
			chosen = (struct locks){ true, true, true, true, true };
		else
			break;
		if (!word[length])
			return chosen;
	}
	complain("RSEQ_SLICE_LOCKS=%s is not a list of spin, adaptive, mutex, rwlock, omp, all with commas between: spin is used",
		 value);
	return standard;
}

/* What a spin lock holds after its release. */
static int free_spin_lock(void)
{
	pthread_spinlock_t lock;

	pthread_spin_init(&lock, PTHREAD_PROCESS_PRIVATE);
	real.spin_lock(&lock);
	real.spin_unlock(&lock);
	return lock;
}

/* Whether all threads of the process share the cause. */
static bool of_process(int why)
{
	return why && why != RSEQ_SLICE_WHY_REFUSED && why != RSEQ_SLICE_WHY_FOREIGN_AREA;
}

const char *cause(int why)
{
	if (why == RSEQ_SLICE_WHY_LEGACY_AREA)
		return "The C library registered an area of 32 bytes, as glibc before 2.41 does: set RSEQ_SLICE_TAKE_OVER=1.";
	if (why == RSEQ_SLICE_WHY_SWITCHED_OFF)
		return "Time slice extensions were switched off: start the program without RSEQ_SLICE=off.";
	return rseq_slice_strwhy(why);
}

static void require(int why)
{
	char number[32] = "";

	if (!why)
		return;
	if (why == RSEQ_SLICE_WHY_REFUSED)
		snprintf(number, sizeof(number), " (error %d)", rseq_slice_support_errno());
	complain("RSEQ_SLICE=require: %s%s", cause(why), number);
	_exit(EXIT_WITHOUT);
}

static unsigned int policy(bool off)
{
	static const char *const no_yes[] = { "0", "1", NULL }, *const exits[] = { "auto", "yield", "getpid", NULL };
	static const unsigned int flags[] = { 0, RSEQ_SLICE_EXIT_YIELD, RSEQ_SLICE_EXIT_GETPID };
	unsigned int chosen = flags[choice("RSEQ_SLICE_EXIT", exits)];
	const char *object;

	if (off)
		return RSEQ_SLICE_OFF;
	if (!choice("RSEQ_SLICE_TAKE_OVER", no_yes))
		return chosen;
	object = restartable_object();
	if (!object)
		return chosen | RSEQ_SLICE_TAKE_OVER;
	complain("RSEQ_SLICE_TAKE_OVER=1 is refused: %s has restartable sequences, as tcmalloc has, which need the C "
		 "library's area: run with another allocator, or with glibc 2.41 or newer", object);
	return chosen;
}

__attribute__((constructor)) static void configure(void)
{
	static const char *const modes[] = { "auto", "off", "require", NULL };
	enum { AUTO, OFF, REQUIRE } mode = (unsigned int)choice("RSEQ_SLICE", modes);
	const char *stats = secure_getenv("RSEQ_SLICE_STATS");
	struct locks chosen = locks();
	int error = errno, why;

	real_resolve();
	config.looks = looks();
	config.spin_free = free_spin_lock();
	config.spin_off = mode == OFF && chosen.spin ? spin_lock_off : real.spin_lock;
	rseq_slice_policy(policy(mode == OFF));
	if (stats && *stats && strcmp(stats, "0"))
		stats_start(stats);

	why = rseq_slice_support();
	if (mode == REQUIRE)
		require(why);
	config.absent = of_process(why) ? why : 0;
	/* Everything as without this library, unless counted. */
	if (mode == AUTO && config.absent && !config.stats)
		chosen = (struct locks){ .spin = chosen.spin };
	mutex_select(chosen.mutex, chosen.adaptive);
	config.rwlock = chosen.rwlock;
	config.omp = chosen.omp;
	config.spin = chosen.spin;
	/* Threads of other constructors may run already. */
	__atomic_store_n(&config.ready, true, __ATOMIC_RELEASE);
	thread_set_up();
	errno = error;
}
