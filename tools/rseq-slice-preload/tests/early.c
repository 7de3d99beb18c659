/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * A preloaded allocator that locks, and a constructor that does: before the library's constructor ran,
 * and while the library looks for the C library's functions. Leaves some locks to be released later.
 */
#include <pthread.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_rwlock_t rwlock = PTHREAD_RWLOCK_INITIALIZER;
static pthread_spinlock_t spin;
static int spin_ready;
static char memory[64 << 20] __attribute__((aligned(16)));
static size_t used;
static unsigned long calls;

static void *take(size_t size)
{
	char *block;

	pthread_mutex_lock(&mutex);
	if (!spin_ready)
		spin_ready = !pthread_spin_init(&spin, PTHREAD_PROCESS_PRIVATE);
	pthread_spin_lock(&spin);
	pthread_rwlock_wrlock(&rwlock);
	calls++;
	size = (size + 31) / 16 * 16;
	block = memory + used;
	if (used + size > sizeof(memory))
		_exit(99);
	used += size;
	*(size_t *)block = size - 16;
	pthread_rwlock_unlock(&rwlock);
	pthread_spin_unlock(&spin);
	pthread_mutex_unlock(&mutex);
	return block + 16;
}

void *malloc(size_t size) { return take(size); }
void free(void *block) { (void)block; }
/* The blocks are new, hence 0. */
void *calloc(size_t number, size_t size) { return take(number * size); }
void *realloc(void *block, size_t size)
{
	void *bigger = take(size);
	size_t had;

	if (!block)
		return bigger;
	had = *(size_t *)((char *)block - 16);
	return memcpy(bigger, block, had < size ? had : size);
}

static pthread_mutex_t kept = PTHREAD_MUTEX_INITIALIZER;

__attribute__((constructor)) static void begin(void)
{
	pthread_mutex_lock(&kept);
	free(malloc(10));
}

__attribute__((destructor)) static void finish(void)
{
	pthread_mutex_unlock(&kept);
	if (!calls || pthread_mutex_trylock(&kept))
		_exit(98);
}
