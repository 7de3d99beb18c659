// SPDX-License-Identifier: GPL-2.0

#include <linux/percpu.h>

/*
 * Modules can call the C originals, which are macros. They reach these when the
 * helpers are inlined into them or, otherwise, as exported functions.
 */

__rust_helper void *rust_helper_raw_cpu_ptr(void __percpu *ptr)
{
	return raw_cpu_ptr(ptr);
}

__rust_helper void *rust_helper_per_cpu_ptr(void __percpu *ptr, unsigned int cpu)
{
	return per_cpu_ptr(ptr, cpu);
}

__rust_helper void rust_helper_this_cpu_inc_ulong(unsigned long __percpu *ptr)
{
	this_cpu_inc(*ptr);
}
