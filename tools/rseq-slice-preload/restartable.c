// SPDX-License-Identifier: MIT OR Apache-2.0
/*
 * Which objects of the process have restartable sequences. The file has them in a section "__rseq_cs",
 * which stripping does not remove. Dynamic symbols do not tell: tcmalloc that is linked into an
 * executable has none.
 */
#include "preload.h"

#include <elf.h>
#include <fcntl.h>
#include <link.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

/* Whether the range lies in a file of the given size. */
static bool within(uint64_t offset, uint64_t length, uint64_t size)
{
	return offset <= size && length <= size - offset;
}

static bool image_has_sequences(const unsigned char *image, uint64_t size)
{
	const ElfW(Ehdr) *header = (const void *)image;
	const ElfW(Shdr) *sections, *names;

	if (size < sizeof(*header) || memcmp(image, ELFMAG, SELFMAG) || header->e_shentsize != sizeof(*sections) ||
	    header->e_shstrndx >= header->e_shnum || header->e_shoff % _Alignof(ElfW(Shdr)) ||
	    !within(header->e_shoff, (uint64_t)header->e_shnum * sizeof(*sections), size))
		return false;
	sections = (const void *)(image + header->e_shoff);
	names = &sections[header->e_shstrndx];
	if (!within(names->sh_offset, names->sh_size, size))
		return false;
	for (unsigned int i = 0; i < header->e_shnum; i++) {
		static const char wanted[] = "__rseq_cs";

		if (within(sections[i].sh_name, sizeof(wanted), names->sh_size) &&
		    !memcmp(image + names->sh_offset + sections[i].sh_name, wanted, sizeof(wanted)))
			return true;
	}
	return false;
}

static bool file_has_sequences(const char *path)
{
	int file = open(path, O_RDONLY | O_CLOEXEC);
	bool has = false;
	struct stat status;
	void *image;

	if (file < 0)
		return false;
	if (!fstat(file, &status) && status.st_size > 0) {
		image = mmap(NULL, (size_t)status.st_size, PROT_READ, MAP_PRIVATE, file, 0);
		if (image != MAP_FAILED) {
			has = image_has_sequences(image, (uint64_t)status.st_size);
			munmap(image, (size_t)status.st_size);
		}
	}
	close(file);
	return has;
}

static int visit(struct dl_phdr_info *info, size_t size, void *found)
{
	const char *path = *info->dlpi_name ? info->dlpi_name : "/proc/self/exe";

	(void)size;
	if (!file_has_sequences(path))
		return 0;
	*(const char **)found = *info->dlpi_name ? info->dlpi_name : "the program";
	return 1;
}

const char *restartable_object(void)
{
	const char *found = NULL;

	dl_iterate_phdr(visit, &found);
	return found;
}
