/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * unload PLUGIN...: loads and unloads each. Prints for each whether it stayed, and then whether all
 * that were loaded found the area in the same object.
 */
#include <dlfcn.h>
#include <stdio.h>

int main(int argc, char **argv)
{
	void *home = 0, *first = 0;
	int i, same = 1;

	for (i = 1; i < argc; i++) {
		void *plugin = dlopen(argv[i], RTLD_NOW | RTLD_LOCAL), *symbol;
		int (*support)(void);

		if (!plugin)
			return fprintf(stderr, "# unload: %s\n", dlerror()), 1;
		symbol = dlsym(plugin, "plugin_support");
		*(void **)&support = symbol;
		if (!symbol || support() == 9)
			return fprintf(stderr, "# unload: no plugin_support(), or switched off\n"), 1;
		home = dlsym(plugin, "rseq_slice_home_v0");
		first = i == 1 ? home : first;
		same &= home == first;
		dlclose(plugin);
		printf("%s ", dlopen(argv[i], RTLD_NOW | RTLD_NOLOAD) ? "stayed" : "gone");
	}
	puts(same ? "same" : "different");
	return 0;
}
