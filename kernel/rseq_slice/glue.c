// SPDX-License-Identifier: GPL-2.0
/*
 * What the Rust implementation of the time slice extension cannot express: the static
 * keys, the system call, the boot parameters, the initcalls, the debugfs files and the
 * tracepoints.
 */

#define pr_fmt(fmt) "rseq: " fmt

#include <linux/debugfs.h>
#include <linux/err.h>
#include <linux/hrtimer_rearm.h>
#include <linux/init.h>
#include <linux/jump_label.h>
#include <linux/kstrtox.h>
#include <linux/mutex.h>
#include <linux/rseq.h>
#include <linux/rseq_slice.h>
#include <linux/seq_file.h>
#include <linux/string.h>
#include <linux/syscalls.h>

#include "../sched/sched.h"
#include "../time/tick-internal.h"

#define CREATE_TRACE_POINTS
#define CREATE_RUST_TRACE_POINTS
#include <trace/events/rseq_slice.h>

DEFINE_STATIC_KEY_TRUE(rseq_slice_extension_key);
DEFINE_STATIC_KEY_FALSE(rseq_slice_lazy_key);

/**
 * rseq_slice_postpone_resched - Withdraw the reschedule that is due
 * @lazy_only:	Withdraw a lazy reschedule only
 *
 * To be called in the exit loop with interrupts disabled. Not for modules, and not
 * for callers that cannot bound the delay.
 *
 * A grant lasts until its timer fires. Without high resolution mode, or after an
 * hrtimer hang, that may be milliseconds late.
 *
 * With core scheduling a task leaves user mode when a sibling of its CPU picks a task
 * that does not trust it. A grant would keep both there.
 *
 * Return: false if this CPU must not postpone it for one of these reasons.
 */
bool rseq_slice_postpone_resched(bool lazy_only)
{
	const struct hrtimer_cpu_base *base = this_cpu_ptr(&hrtimer_bases);

	if (!base->hres_active || base->hang_detected || sched_core_enabled(this_rq()))
		return false;

	if (lazy_only) {
		/* A reschedule that is not lazy stays due, and revokes the grant. */
		clear_thread_flag(TIF_NEED_RESCHED_LAZY);
	} else {
		clear_tsk_need_resched(current);
		clear_preempt_need_resched();
	}
	return true;
}

#ifdef CONFIG_SCHED_HRTICK
/* Under the lock of the runqueue, because other CPUs read when the timer expires. */
static noinline void rseq_slice_restart_hrtick(struct rq *rq, ktime_t expires)
{
	guard(rq_lock)(rq);
	hrtimer_start(&rq->hrtick_timer, expires, HRTIMER_MODE_ABS_PINNED_HARD);
}
#endif

/**
 * rseq_slice_postpone_hrtick - Postpone the end of the time slice to that of a grant
 * @until:	When the grant expires
 *
 * To be called in the exit loop with interrupts disabled, when a reschedule has been
 * withdrawn. Not for modules, and not where only lazy reschedules are postponed.
 *
 * A tick and the timer of the scheduler feature HRTICK may both find the end of a time
 * slice. If the tick comes first, the timer would request the withdrawn reschedule
 * again, and not lazily. It is not cancelled: if the reschedule picks the same task,
 * nothing starts it again.
 */
void rseq_slice_postpone_hrtick(ktime_t until)
{
#ifdef CONFIG_SCHED_HRTICK
	struct rq *rq = this_rq();
	struct hrtimer *timer = &rq->hrtick_timer;

	/* It is started on this CPU only, so that its callback does not run now. */
	if (hrtimer_is_queued(timer) && hrtimer_get_expires(timer) < until)
		rseq_slice_restart_hrtick(rq, until);
#endif
}

/**
 * rseq_slice_rearm_deferred - Program the clock event device if that was deferred
 * @ti_work:	The work flags of the current task
 *
 * To be called in the exit loop with interrupts disabled. Not for modules.
 */
void rseq_slice_rearm_deferred(unsigned long ti_work)
{
	hrtimer_rearm_deferred_tif(ti_work);
}

static const char * const rseq_slice_policies[] = { "all", "lazy" };

static void rseq_slice_set_policy(bool lazy_only)
{
	/* Concurrent switches of a static key trigger a warning. */
	static DEFINE_MUTEX(lock);

	guard(mutex)(&lock);
	if (lazy_only)
		static_branch_enable(&rseq_slice_lazy_key);
	else
		static_branch_disable(&rseq_slice_lazy_key);
}

/* Not while the kernel command line is parsed: preempt= may follow. */
static void rseq_slice_check_policy(void)
{
	bool lazy_only = IS_ENABLED(CONFIG_PREEMPT_RT) || static_key_enabled(&rseq_slice_lazy_key);

	if (lazy_only && !preempt_model_lazy())
		pr_warn_once("no slice extension will be granted: %s has no lazy reschedules\n",
			     preempt_model_str());
}

static int __init rseq_slice_cmdline(char *str)
{
	int policy = match_string(rseq_slice_policies, ARRAY_SIZE(rseq_slice_policies), str);
	bool on = true;

	if (policy >= 0) {
		rseq_slice_set_policy(policy);
	} else if (kstrtobool(str, &on)) {
		pr_warn("rseq_slice_ext=%s is ignored: it is not on, off, all or lazy\n", str);
		return 1;
	}

	if (on)
		static_branch_enable(&rseq_slice_extension_key);
	else
		static_branch_disable(&rseq_slice_extension_key);
	return 1;
}
__setup("rseq_slice_ext=", rseq_slice_cmdline);

static int __init rseq_slice_cmdline_length(char *str)
{
	unsigned int nsecs;

	if (kstrtouint(str, 10, &nsecs) ||
	    nsecs < rseq_slice_ext_nsecs_min || nsecs > rseq_slice_ext_nsecs_max) {
		pr_warn("rseq_slice_ext_nsec=%s is ignored: it is not a number from %u to %u\n",
			str, rseq_slice_ext_nsecs_min, rseq_slice_ext_nsecs_max);
		return 1;
	}

	rseq_slice_ext_nsecs = nsecs;
	return 1;
}
__setup("rseq_slice_ext_nsec=", rseq_slice_cmdline_length);

/**
 * sys_rseq_slice_yield - Give up the CPU that a time slice extension retained
 *
 * The CPU is given up by the system call entry work that every grant sets. This only
 * returns the result.
 *
 * Return: 1 if the CPU was given up inside the grant by this call, 0 if there was
 *	   no grant or it had ended before.
 */
SYSCALL_DEFINE0(rseq_slice_yield)
{
	return rseq_slice_take_yielded(current);
}

static int rseq_slice_policy_show(struct seq_file *m, void *p)
{
	seq_puts(m, static_key_enabled(&rseq_slice_lazy_key) ? "all [lazy]\n" : "[all] lazy\n");
	return 0;
}

static ssize_t rseq_slice_policy_write(struct file *file, const char __user *ubuf,
				       size_t count, loff_t *ppos)
{
	char buf[8] = "";
	int policy;

	if (count >= sizeof(buf))
		return -EINVAL;
	if (copy_from_user(buf, ubuf, count))
		return -EFAULT;
	policy = sysfs_match_string(rseq_slice_policies, buf);
	if (policy < 0)
		return policy;
	rseq_slice_set_policy(policy);
	rseq_slice_check_policy();
	return count;
}
DEFINE_SHOW_STORE_ATTRIBUTE(rseq_slice_policy);

/* At this level, because usermode helpers may run at later ones. */
core_initcall(rseq_slice_init_timers);

/* After rseq created its debugfs directory. */
static int __init rseq_slice_late_init(void)
{
	static char *impl = "rust";
	struct dentry *dir = debugfs_lookup("rseq", NULL);

	if (!IS_ERR_OR_NULL(dir)) {
		debugfs_create_file("slice_ext_policy", 0644, dir, NULL, &rseq_slice_policy_fops);
		debugfs_create_str("slice_ext_impl", 0444, dir, &impl);
		dput(dir);
	}

	pr_info("time slice extension in Rust, %s, %u ns\n",
		rseq_slice_extension_enabled() ? "on" : "off", rseq_slice_ext_nsecs);
	rseq_slice_check_policy();
	return 0;
}
late_initcall(rseq_slice_late_init);
