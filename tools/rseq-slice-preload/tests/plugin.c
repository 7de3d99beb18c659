/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Opens an object that uses OpenMP, so that no other object sees its runtime, and calls it. */
#include <dlfcn.h>
#include <stdio.h>

int main(int argc, char **argv)
{
	void *object = argc > 1 ? dlopen(argv[1], RTLD_NOW | RTLD_LOCAL) : NULL;
	int (*openmp)(void);

	if (!object) {
		printf("# %s\n", dlerror());
		return 2;
	}
	*(void **)&openmp = dlsym(object, "openmp");
	return openmp();
}
