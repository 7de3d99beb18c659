/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#include <dlfcn.h>
#include <elf.h>
#include <fcntl.h>
#include <link.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "mock.h"

/* Laid out as in section.h. */
struct thread {
	volatile unsigned char *word;
	uintptr_t held;
	volatile unsigned char *spin, *mutex, *rwlock;
};

static size_t offset;
/* The offset of the control word in an area of 64 bytes. */
static __thread unsigned char area[64] __attribute__((aligned(64), tls_model("initial-exec")));

volatile unsigned char *mock_word(void)
{
	return area + 28;
}

static void die(const char *what)
{
	fprintf(stderr, "mock: %s\n", what);
	abort();
}

/* The offset of the library's variable in its thread-local storage: from the table that stripping removes. */
static size_t thread_offset(const char *path)
{
	int file = open(path, O_RDONLY | O_CLOEXEC);
	const unsigned char *image;
	const ElfW(Ehdr) *header;
	const ElfW(Shdr) *sections;
	struct stat status;

	if (file < 0 || fstat(file, &status))
		die("the library cannot be read");
	image = mmap(NULL, (size_t)status.st_size, PROT_READ, MAP_PRIVATE, file, 0);
	close(file);
	header = (const void *)image;
	sections = (const void *)(image + header->e_shoff);
	for (int i = 0; i < header->e_shnum; i++) {
		const ElfW(Sym) *symbols = (const void *)(image + sections[i].sh_offset);
		const char *names;

		if (sections[i].sh_type != SHT_SYMTAB)
			continue;
		names = (const char *)image + sections[sections[i].sh_link].sh_offset;
		for (size_t k = 0; k < sections[i].sh_size / sizeof(*symbols); k++)
			if (ELF64_ST_TYPE(symbols[k].st_info) == STT_TLS && !strcmp(names + symbols[k].st_name, "thread"))
				return symbols[k].st_value;
	}
	die("the library has no symbols: it is stripped");
	return 0;
}

static int visit(struct dl_phdr_info *info, size_t size, void *thread)
{
	(void)size;
	if (!strstr(info->dlpi_name, "librseq-slice-preload.so"))
		return 0;
	if (!offset)
		offset = 1 + thread_offset(info->dlpi_name);
	*(void **)thread = (char *)info->dlpi_tls_data + offset - 1;
	return 1;
}

static struct thread *library_thread(void)
{
	static __thread struct thread *thread __attribute__((tls_model("initial-exec")));

	if (!thread && !dl_iterate_phdr(visit, &thread))
		die("the library is not loaded");
	return thread;
}

unsigned long mock_held(void)
{
	uintptr_t held = library_thread()->held;

	return held & 1 ? held / 4 : held != 0;
}

bool mock_grant(void)
{
	volatile unsigned char *word = mock_word();

	if (!word[0])
		return false;
	word[0] = 0;
	word[1] = 1;
	return true;
}

static bool chosen(const char *kind)
{
	const char *locks = getenv("RSEQ_SLICE_LOCKS");

	return locks && (strstr(locks, kind) || !strcmp(locks, "all"));
}

static void switch_on(void)
{
	struct thread *thread = library_thread();
	pthread_spinlock_t lock;

	if (getenv("RSEQ_SLICE_STATS")) {
		/* Statistics keep fast paths from the word. */
		thread->word = mock_word();
		return;
	}
	/* The library sets the thread up at its first lock, for a kernel without the extension. */
	pthread_spin_init(&lock, PTHREAD_PROCESS_PRIVATE);
	pthread_spin_lock(&lock);
	pthread_spin_unlock(&lock);
	thread->word = thread->spin = mock_word();
	if (chosen("mutex") || chosen("adaptive"))
		thread->mutex = mock_word();
	if (chosen("rwlock"))
		thread->rwlock = mock_word();
}

static void at_rest(void)
{
	if (!mock_held() && mock_word()[0])
		die("a thread ended with a request and without a lock");
}

struct start {
	void *(*function)(void *);
	void *argument;
};

static void *started(void *argument)
{
	struct start start = *(struct start *)argument;
	void *result;

	free(argument);
	switch_on();
	result = start.function(start.argument);
	at_rest();
	return result;
}

int pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*function)(void *), void *argument)
{
	static int (*create)(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *);
	struct start *start = malloc(sizeof(*start));

	if (!create)
		*(void **)&create = dlsym(RTLD_NEXT, "pthread_create");
	if (!start)
		die("no memory");
	*start = (struct start){ function, argument };
	return create(thread, attributes, started, start);
}

__attribute__((constructor)) static void begin(void)
{
	switch_on();
}

__attribute__((destructor)) static void finish(void)
{
	at_rest();
}
