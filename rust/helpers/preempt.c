// SPDX-License-Identifier: GPL-2.0

#include <linux/preempt.h>
#include <linux/sched.h>

/*
 * Modules can call the C originals, which are inline. They reach these when the
 * helpers are inlined into them or, otherwise, as exported functions. None of them
 * withdraws a reschedule.
 */

__rust_helper void rust_helper_preempt_disable(void)
{
	preempt_disable();
}

__rust_helper void rust_helper_preempt_enable(void)
{
	preempt_enable();
}

__rust_helper void rust_helper_set_need_resched_current(void)
{
	set_need_resched_current();
}

__rust_helper int rust_helper_cond_resched(void)
{
	return cond_resched();
}
