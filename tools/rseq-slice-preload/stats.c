// SPDX-License-Identifier: MIT OR Apache-2.0
#include "stats.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <rseq_slice.h>

#define SITES 4096
#define SHOWN 20
#define CAUSES 16
#define FILES_OF_PROGRAM 100	/* file numbers below are the program's */

struct site {
	const void *address;
	uint64_t locks, long_holds, longest;
};

static struct {
	uint64_t threads[CAUSES];	/* by cause; 0: with the extension */
	uint64_t yields, lost, sections, unknown;
	struct site sites[SITES];
} stats;

static __thread struct {
	struct site *site;		/* that has taken the first lock */
	uint64_t since;			/* and when; 0: no lock is held */
} hold;

static int output = -1;
static uint64_t extension = 5000;	/* ns */

#define COUNT(counter) __atomic_fetch_add(&(counter), 1, __ATOMIC_RELAXED)

static uint64_t now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return (uint64_t)time.tv_sec * 1000000000 + (uint64_t)time.tv_nsec;
}

static struct site *site_of(const void *address)
{
	unsigned int start = (unsigned int)((uintptr_t)address * 0x9e3779b1u >> 8);

	for (unsigned int i = 0; i < SITES; i++) {
		struct site *site = &stats.sites[(start + i) % SITES];
		const void *there = __atomic_load_n(&site->address, __ATOMIC_RELAXED);

		if (!there && __atomic_compare_exchange_n(&site->address, &there, address, false, __ATOMIC_RELAXED,
							  __ATOMIC_RELAXED))
			return site;
		if (there == address)
			return site;
	}
	return NULL;
}

void stats_thread(int why)
{
	COUNT(stats.threads[why]);
}

void stats_taken(const void *address, bool first)
{
	struct site *site = site_of(address);

	COUNT(*(site ? &site->locks : &stats.unknown));
	if (!first)
		return;
	COUNT(stats.sections);
	hold.site = site;
	hold.since = now();
}

void stats_held(void)
{
	struct site *site = hold.site;
	uint64_t length, longest;

	if (!hold.since)
		return;
	length = now() - hold.since;
	hold.since = 0;
	if (!site)
		return;
	if (length > extension)
		COUNT(site->long_holds);
	longest = __atomic_load_n(&site->longest, __ATOMIC_RELAXED);
	while (length > longest && !__atomic_compare_exchange_n(&site->longest, &longest, length, true,
								__ATOMIC_RELAXED, __ATOMIC_RELAXED))
		;
}

void stats_yield(void)
{
	COUNT(stats.yields);
}

void stats_lost(void)
{
	COUNT(stats.lost);
}

static char report[16384];
static size_t used;

__attribute__((format(printf, 1, 2))) static void add(const char *format, ...)
{
	va_list arguments;
	int length;

	va_start(arguments, format);
	length = vsnprintf(report + used, sizeof(report) - used, format, arguments);
	va_end(arguments);
	if (length > 0)
		used += (size_t)length < sizeof(report) - used ? (size_t)length : sizeof(report) - used - 1;
}

static int worse(const void *left, const void *right)
{
	const struct site *a = left, *b = right;

	if (a->long_holds != b->long_holds)
		return a->long_holds < b->long_holds ? 1 : -1;
	return a->locks < b->locks ? 1 : a->locks > b->locks ? -1 : 0;
}

static void add_site(const struct site *site)
{
	Dl_info info;

	add("  %12" PRIu64 " %12" PRIu64 " %12" PRIu64 "  ", site->locks, site->long_holds, site->longest);
	if (!dladdr(site->address, &info))
		add("%p\n", site->address);
	else if (info.dli_sname)
		add("%s(%s+%#tx)\n", info.dli_fname, info.dli_sname,
		    (const char *)site->address - (const char *)info.dli_saddr);
	else
		add("%s(+%#tx)\n", info.dli_fname, (const char *)site->address - (const char *)info.dli_fbase);
}

static void add_sites(void)
{
	unsigned int sites = 0;

	for (unsigned int i = 0; i < SITES; i++)
		if (stats.sites[i].locks)
			stats.sites[sites++] = stats.sites[i];
	qsort(stats.sites, sites, sizeof(*stats.sites), worse);
	if (sites)
		add("  %12s  > %7" PRIu64 " ns   longest ns  taken at\n", "locks", extension);
	for (unsigned int i = 0; i < sites && i < SHOWN; i++)
		add_site(&stats.sites[i]);
	if (sites > SHOWN)
		add("  and at %u other places\n", sites - SHOWN);
	if (stats.unknown)
		add("  %12" PRIu64 " at places beyond the first %d\n", stats.unknown, SITES);
}

__attribute__((destructor)) static void finish(void)
{
	if (!config.stats)
		return;
	/* Threads that go on are no longer counted. */
	config.stats = false;
	add("librseq-slice-preload: %s (process %d)\n", program_invocation_short_name, getpid());
	add("  threads    %" PRIu64 " with the extension\n", stats.threads[0]);
	for (int why = 1; why < CAUSES; why++)
		if (stats.threads[why])
			add("  threads    %" PRIu64 " without: %s\n", stats.threads[why], cause(why));
	add("  sections   %" PRIu64 ", extensions ended by the thread %" PRIu64 ", requests lost to a preemption or revoked %" PRIu64 "\n",
	    stats.sections, stats.yields, stats.lost);
	add_sites();
	if (write(output, report, used) < 0)
		complain("RSEQ_SLICE_STATS: the report cannot be written: %s", strerror(errno));
}

/* A child of fork() counts its own sections. */
static void forked(void)
{
	memset(&stats, 0, sizeof(stats));
	COUNT(stats.threads[rseq_slice_support()]);
	hold.site = NULL;
	hold.since = 0;
}

static uint64_t extension_length(void)
{
	char text[32] = "";
	int file = open("/sys/kernel/debug/rseq/slice_ext_nsec", O_RDONLY | O_CLOEXEC);
	uint64_t length = 0;

	if (file >= 0) {
		if (read(file, text, sizeof(text) - 1) > 0)
			length = strtoull(text, NULL, 10);
		close(file);
	}
	return length ? length : extension;
}

void stats_start(const char *file)
{
	int opened = STDERR_FILENO;

	if (strcmp(file, "1")) {
		opened = open(file, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0666);
		if (opened < 0)
			complain("RSEQ_SLICE_STATS=%s cannot be opened (%s): standard error is used", file, strerror(errno));
	}
	/* Programs close standard error before the report, and expect the lowest numbers to be theirs. */
	output = fcntl(opened < 0 ? STDERR_FILENO : opened, F_DUPFD_CLOEXEC, FILES_OF_PROGRAM);
	if (opened > STDERR_FILENO)
		close(opened);
	extension = extension_length();
	pthread_atfork(NULL, NULL, forked);
	config.stats = output >= 0;
}
