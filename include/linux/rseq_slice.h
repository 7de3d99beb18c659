/* SPDX-License-Identifier: GPL-2.0 */
#ifndef _LINUX_RSEQ_SLICE_H
#define _LINUX_RSEQ_SLICE_H

/*
 * The inline fast paths of the entry code and rseq into the Rust implementation of
 * the time slice extension (kernel/rseq_slice/). Rust is never inlined into C, so
 * they decide that there is nothing to do.
 */

extern const unsigned int rseq_slice_ext_nsecs_min, rseq_slice_ext_nsecs_max;

#ifdef CONFIG_RSEQ_SLICE_EXTENSION_RUST
#include <linux/jump_label.h>
#include <linux/ktime.h>
#include <linux/sched.h>

DECLARE_STATIC_KEY_TRUE(rseq_slice_extension_key);
DECLARE_STATIC_KEY_FALSE(rseq_slice_lazy_key);

extern unsigned int rseq_slice_ext_nsecs;	/* kernel/rseq.c */

/* kernel/rseq_slice/glue.c */
bool rseq_slice_postpone_resched(bool lazy_only);
void rseq_slice_postpone_hrtick(ktime_t until);
void rseq_slice_rearm_deferred(unsigned long ti_work);

/* Exported and documented by kernel/rseq_slice/rseq_slice.rs */
bool rseq_slice_grant(struct task_struct *curr, unsigned long ti_work, unsigned long deny);
bool rseq_slice_keep(struct task_struct *curr, unsigned long ti_work);
void rseq_slice_revoke(struct task_struct *curr);
void rseq_slice_user_updated(struct task_struct *curr);
void rseq_slice_update_failed(struct task_struct *curr);
void rseq_slice_exit(struct task_struct *curr);
long rseq_slice_take_yielded(struct task_struct *curr);
int rseq_slice_init_timers(void);

static __always_inline bool rseq_slice_extension_enabled(void)
{
	return static_branch_likely(&rseq_slice_extension_key);
}

/**
 * rseq_grant_slice_extension - Postpone the reschedule that is due, if requested
 * @ti_work:	The work flags of the current task
 * @mask:	The work flags that deny a grant
 *
 * Invoked in the exit loop with interrupts enabled. A live grant is kept if the
 * reschedule is lazy and no other work is due; otherwise a grant is revoked. A new one
 * goes to a task that has the extension enabled and was interrupted in user mode.
 *
 * Return: true if the reschedule is postponed, false if it has to be done.
 */
static __always_inline bool rseq_grant_slice_extension(unsigned long ti_work, unsigned long mask)
{
	struct task_struct *curr = current;

	/* The state is zero if the extension is neither enabled nor granted. */
	if (!rseq_slice_extension_enabled() || likely(!curr->rseq.slice.state.state))
		return false;

	if (curr->rseq.slice.state.granted) {
		if (!(ti_work & (mask | _TIF_NEED_RESCHED)) && rseq_slice_keep(curr, ti_work))
			return true;

		rseq_slice_revoke(curr);
		return false;
	}

	return curr->rseq.event.user_irq && rseq_slice_grant(curr, ti_work, mask);
}

/**
 * rseq_slice_clear_events - Clear the events that rseq's update of user space handled
 * @ev:		The events of the current task
 *
 * Invoked with interrupts disabled. rseq_arm_slice_extension_timer() may send the task
 * through the exit loop again, where it may be scheduled out or signalled. Whether it
 * was interrupted in user mode has to be known there: rseq aborts sequences by it, and
 * futex_fixup_robust_unlock() completes unlocks. So rseq_event::user_irq stays, and
 * rseq_irqentry_exit_to_user_mode() clears it.
 */
static __always_inline void rseq_slice_clear_events(struct rseq_event *ev)
{
	ev->sched_switch = false;
	ev->ids_changed = false;
}

/**
 * rseq_arm_slice_extension_timer - Keep a spent grant out of user mode
 *
 * Invoked at the end of the exit loop with interrupts disabled. The name is the C
 * implementation's, which arms the timer here. In Rust the grant decision has armed it.
 *
 * A grant is spent if its timer has fired, if its task was scheduled out without an
 * update of user space since, or if such an update has erased it. Either the task's
 * count of switches has changed, or the count of the grant was replaced by
 * Phase::SPENT_SWITCHES, which no task reaches. The reschedule that is due revokes the grant.
 * If that has happened already, the events of a context switch are set, which force an
 * update of user space; the update ends the grant.
 *
 * Only a 32-bit system call whose argument cannot be fetched may leave with a spent
 * grant whose reschedule has happened, because no work flag brings it here. The next
 * system call or reschedule ends the grant.
 *
 * Return: true if the task has to go through the exit loop again.
 */
static __always_inline bool rseq_arm_slice_extension_timer(void)
{
	struct task_struct *curr = current;
	struct rseq_slice *slice = &curr->rseq.slice;

	if (!rseq_slice_extension_enabled() || likely(!slice->state.granted))
		return false;

	if (likely(slice->switches == curr->nvcsw + curr->nivcsw))
		return false;

	if (!need_resched()) {
		/* Without new IDs, only tasks that were interrupted in user mode are updated. */
		if (!curr->rseq.event.user_irq)
			curr->rseq.event.ids_changed = true;
		curr->rseq.event.sched_switch = true;
		set_thread_flag(TIF_RSEQ);
	}
	return true;
}

/**
 * rseq_slice_clear_grant - Revoke a grant that user space does not see any more
 * @t:		The current task
 *
 * Invoked after rseq updated its fields in user space, which erases the control word:
 * the task was scheduled out, or membarrier(2) requested the update.
 */
static __always_inline void rseq_slice_clear_grant(struct task_struct *t)
{
	if (rseq_slice_extension_enabled() && unlikely(t->rseq.slice.state.granted))
		rseq_slice_user_updated(t);
}

/* A macro, because it stands in user access regions of rseq and jumps out of them. */
#define rseq_slice_clear_user(rseq, efault)					\
do {										\
	if (rseq_slice_extension_enabled())					\
		unsafe_put_user(0U, &(rseq)->slice_ctrl.all, efault);		\
} while (0)

/**
 * rseq_slice_fork - Clear the parent's grant from the child's copy
 * @child:	The new task, which does not run yet
 */
static inline void rseq_slice_fork(struct task_struct *child)
{
	child->rseq.slice.state.granted = 0;
	child->rseq.slice.timer = NULL;
	child->rseq.slice.yielded = 0;
}

#else /* CONFIG_RSEQ_SLICE_EXTENSION_RUST */
#include <linux/rseq_types.h>

struct task_struct;

#ifdef CONFIG_RSEQ
static __always_inline void rseq_slice_clear_events(struct rseq_event *ev)
{
	ev->events = 0;
}
#endif

static inline void rseq_slice_update_failed(struct task_struct *t) { }
static inline void rseq_slice_fork(struct task_struct *child) { }
static inline void rseq_slice_exit(struct task_struct *curr) { }
#endif /* !CONFIG_RSEQ_SLICE_EXTENSION_RUST */

#endif /* _LINUX_RSEQ_SLICE_H */
