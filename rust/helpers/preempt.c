// SPDX-License-Identifier: GPL-2.0

#include <linux/preempt.h>
#include <linux/sched.h>

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

__rust_helper void rust_helper_clear_need_resched_current(void)
{
	clear_tsk_need_resched(current);
	clear_preempt_need_resched();
}

__rust_helper void rust_helper_clear_need_resched_lazy_current(void)
{
	clear_tsk_thread_flag(current, TIF_NEED_RESCHED_LAZY);
}

__rust_helper int rust_helper_cond_resched(void)
{
	return cond_resched();
}

__rust_helper bool rust_helper_preemptible(void)
{
	return preemptible();
}
