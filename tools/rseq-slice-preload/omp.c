// SPDX-License-Identifier: MIT OR Apache-2.0
/*
 * The locks of OpenMP. A process may have several OpenMP runtimes, loaded late and seen only by those
 * that are linked with them. So the functions are looked up for the caller, as without this library,
 * and cached by the place of the call.
 */
#include "section.h"

#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>

#define FUNCTIONS(F)						\
	F(void, omp_set_lock, (void *))				\
	F(void, omp_unset_lock, (void *))			\
	F(int, omp_test_lock, (void *))				\
	F(void, omp_set_nest_lock, (void *))			\
	F(void, omp_unset_nest_lock, (void *))			\
	F(int, omp_test_nest_lock, (void *))			\
	F(void, GOMP_critical_start, (void))			\
	F(void, GOMP_critical_end, (void))			\
	F(void, GOMP_critical_name_start, (void **))		\
	F(void, GOMP_critical_name_end, (void **))

/* No header is included: each runtime has types of its own for these locks. */
#define DECLARE(type, name, parameters) EXPORT type name parameters;
FUNCTIONS(DECLARE)

/* A place that OpenMP is called from, and the functions that it calls. */
struct place {
	struct place *next;
	const void *address;
#define MEMBER(type, name, parameters) type (*name) parameters;
	FUNCTIONS(MEMBER)
};

#define BUCKETS 256
static struct place *places[BUCKETS];

static void *find(void *object, const char *name)
{
	void *function = dlsym(RTLD_NEXT, name);

	return function || !object ? function : dlsym(object, name);
}

static void missing(void)
{
	complain("an OpenMP function is called that no OpenMP runtime of the caller has: start the program without this library");
	abort();
}

COLD static struct place *place_add(struct place **bucket, const void *address)
{
	struct place *place = calloc(1, sizeof(*place));
	void *object = NULL, *function;
	Dl_info info;

	if (!place) {
		complain("no memory to remember a call of OpenMP");
		abort();
	}
	place->address = address;
	/* Never closed, so that the address stays that of this object. */
	if (dladdr(address, &info))
		object = dlopen(info.dli_fname, RTLD_LAZY | RTLD_NOLOAD);
#define FIND(type, name, parameters)				\
	function = find(object, #name);				\
	if (!function)						\
		function = (void *)missing;			\
	memcpy(&place->name, &function, sizeof(function));
	FUNCTIONS(FIND)

	place->next = __atomic_load_n(bucket, __ATOMIC_RELAXED);
	while (!__atomic_compare_exchange_n(bucket, &place->next, place, true, __ATOMIC_RELEASE, __ATOMIC_RELAXED))
		;
	return place;
}

static inline const struct place *place_of(const void *address)
{
	struct place **bucket = &places[(uintptr_t)address / 2 % BUCKETS];
	struct place *place = __atomic_load_n(bucket, __ATOMIC_ACQUIRE);

	while (place && place->address != address)
		place = place->next;
	return place ? place : place_add(bucket, address);
}

#define CALLER place_of(__builtin_return_address(0))
#define SITE __builtin_return_address(0)

EXPORT void omp_set_lock(void *lock)
{
	const struct place *place = CALLER;

	if (!config.omp) {
		place->omp_set_lock(lock);
		return;
	}
	section_enter();
	if (!place->omp_test_lock(lock)) {
		section_suspend();
		place->omp_set_lock(lock);
		section_resume();
	}
	section_taken(0, SITE);
}

EXPORT void omp_unset_lock(void *lock)
{
	CALLER->omp_unset_lock(lock);
	if (config.omp)
		section_exit();
}

EXPORT int omp_test_lock(void *lock)
{
	int taken;

	if (!config.omp)
		return CALLER->omp_test_lock(lock);
	section_enter();
	taken = CALLER->omp_test_lock(lock);
	section_taken(taken ? 0 : EBUSY, SITE);
	return taken;
}

static void set_nest_lock(const struct place *place, void *lock, const void *site)
{
	if (!config.omp) {
		place->omp_set_nest_lock(lock);
		return;
	}
	section_enter();
	if (!place->omp_test_nest_lock(lock)) {
		section_suspend();
		place->omp_set_nest_lock(lock);
		section_resume();
	}
	section_taken(0, site);
}

static void unset_nest_lock(const struct place *place, void *lock)
{
	place->omp_unset_nest_lock(lock);
	if (config.omp)
		section_exit();
}

static int test_nest_lock(const struct place *place, void *lock, const void *site)
{
	int count;

	if (!config.omp)
		return place->omp_test_nest_lock(lock);
	section_enter();
	count = place->omp_test_nest_lock(lock);
	section_taken(count ? 0 : EBUSY, site);
	return count;
}

/*
 * libgomp has nest locks of an older layout under the same names and an older version, which programs
 * of gcc before 4.4 use. Those are left to libgomp. LLVM's runtime has one version for all.
 */
#define NEST(suffix, versioned, version)						\
	EXPORT void omp_set_nest_lock_##suffix(void *lock);				\
	EXPORT void omp_unset_nest_lock_##suffix(void *lock);				\
	EXPORT int omp_test_nest_lock_##suffix(void *lock);				\
	versioned(omp_set_nest_lock_##suffix, omp_set_nest_lock, version);		\
	versioned(omp_unset_nest_lock_##suffix, omp_unset_nest_lock, version);		\
	versioned(omp_test_nest_lock_##suffix, omp_test_nest_lock, version);		\
	void omp_set_nest_lock_##suffix(void *lock)					\
	{										\
		set_nest_lock(CALLER, lock, SITE);					\
	}										\
	void omp_unset_nest_lock_##suffix(void *lock)					\
	{										\
		unset_nest_lock(CALLER, lock);						\
	}										\
	int omp_test_nest_lock_##suffix(void *lock)					\
	{										\
		return test_nest_lock(CALLER, lock, SITE);				\
	}

NEST(gnu, VERSIONED, OMP_3.0)
NEST(llvm, VERSIONED_TOO, VERSION)

EXPORT void GOMP_critical_start(void)
{
	const struct place *place = CALLER;

	if (!config.omp) {
		place->GOMP_critical_start();
		return;
	}
	section_suspend();
	place->GOMP_critical_start();
	section_resume();
	section_enter();
	section_taken(0, SITE);
}

EXPORT void GOMP_critical_end(void)
{
	CALLER->GOMP_critical_end();
	if (config.omp)
		section_exit();
}

EXPORT void GOMP_critical_name_start(void **name)
{
	const struct place *place = CALLER;

	if (!config.omp) {
		place->GOMP_critical_name_start(name);
		return;
	}
	section_suspend();
	place->GOMP_critical_name_start(name);
	section_resume();
	section_enter();
	section_taken(0, SITE);
}

EXPORT void GOMP_critical_name_end(void **name)
{
	CALLER->GOMP_critical_name_end(name);
	if (config.omp)
		section_exit();
}
