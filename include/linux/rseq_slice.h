/* SPDX-License-Identifier: GPL-2.0 */
#ifndef _LINUX_RSEQ_SLICE_H
#define _LINUX_RSEQ_SLICE_H

/*
 * The gates through which the entry code and rseq reach the Rust implementation
 * of the time slice extension (kernel/rseq_slice/). Rust is never inlined into C,
 * so whatever decides that there is nothing to do is here.
 */

#ifdef CONFIG_RSEQ_SLICE_EXTENSION_RUST
#include <linux/jump_label.h>
#include <linux/sched.h>

struct seq_file;

DECLARE_STATIC_KEY_TRUE(rseq_slice_extension_key);

/* kernel/rseq_slice/glue.c */
bool rseq_slice_cpu_may_grant(void);

/* Doors into kernel/rseq_slice/rseq_slice.rs, where each one is documented. */
bool rseq_slice_grant(struct task_struct *curr, unsigned long ti_work, unsigned long deny);
void rseq_slice_take_back(struct task_struct *curr);
void rseq_slice_revoke(struct task_struct *curr);
void rseq_slice_erase_and_revoke(struct task_struct *curr);
void rseq_slice_inherit(struct task_struct *child);
void rseq_slice_die(struct task_struct *curr);
long rseq_slice_take_yielded(struct task_struct *curr);
void rseq_slice_init_timers(void);
void rseq_slice_announce(void);
void rseq_slice_length_show(struct seq_file *m);
int rseq_slice_length_store(unsigned int nsecs);

static __always_inline bool rseq_slice_extension_enabled(void)
{
	return static_branch_likely(&rseq_slice_extension_key);
}

/**
 * rseq_grant_slice_extension - Postpone the reschedule that is due, if asked to
 * @ti_work:	The work flags of the current task
 * @mask:	The work flags that forbid a grant
 *
 * Invoked on the way to user mode with interrupts enabled. A live grant is
 * revoked, whatever brought the task here. A new one goes to a task that has the
 * extension enabled and was interrupted in user mode.
 *
 * Return: true if the reschedule is postponed, false if it has to be done.
 */
static __always_inline bool rseq_grant_slice_extension(unsigned long ti_work, unsigned long mask)
{
	struct task_struct *curr = current;

	if (!rseq_slice_extension_enabled())
		return false;

	/* Neither enabled nor granted. */
	if (likely(!curr->rseq.slice.state.state))
		return false;

	if (curr->rseq.slice.state.granted) {
		rseq_slice_take_back(curr);
		return false;
	}

	if (!curr->rseq.event.user_irq)
		return false;

	return rseq_slice_grant(curr, ti_work, mask);
}

/**
 * rseq_slice_clear_events - Clear what rseq's update of user space has dealt with
 * @ev:		The events of the current task
 *
 * Invoked with interrupts disabled. The task may go through the exit loop again for
 * rseq_arm_slice_extension_timer(), and be switched out or signalled there. Whether it
 * was interrupted in user mode has to be known then: rseq aborts sequences by it, and
 * futex_fixup_robust_unlock() completes unlocks. So rseq_event::user_irq stays, and
 * rseq_irqentry_exit_to_user_mode() clears it.
 */
static __always_inline void rseq_slice_clear_events(struct rseq_event *ev)
{
	ev->sched_switch = false;
	ev->ids_changed = false;
}

/**
 * rseq_arm_slice_extension_timer - Keep a grant without a timer out of user mode
 *
 * Invoked at the end of the exit loop with interrupts disabled. The timer was armed
 * together with the grant. A grant whose timer has fired, whose task was switched out
 * without an update of user space since, or that such an update has erased, must not
 * get to user mode: it is taken back by the reschedule that is due or, where that has
 * taken place, by an update.
 *
 * Only a 32-bit system call whose argument cannot be fetched may leave with one whose
 * reschedule has taken place, as no work flag tells of it. The next system call or
 * reschedule ends it.
 *
 * Return: true if the task has to go through the exit loop again.
 */
static __always_inline bool rseq_arm_slice_extension_timer(void)
{
	struct task_struct *curr = current;
	struct rseq_slice *slice = &curr->rseq.slice;

	if (!rseq_slice_extension_enabled())
		return false;

	if (likely(!slice->state.granted))
		return false;

	if (likely(slice->switches == curr->nvcsw + curr->nivcsw))
		return false;

	if (!need_resched()) {
		/* An update without new IDs is for tasks that were interrupted in user mode. */
		if (!curr->rseq.event.user_irq)
			curr->rseq.event.ids_changed = true;
		curr->rseq.event.sched_switch = true;
		set_thread_flag(TIF_RSEQ);
	}
	return true;
}

/**
 * rseq_slice_clear_grant - End a grant that user space does not see any more
 * @t:		The current task
 *
 * Invoked after rseq updated its fields in user space, which erases the control
 * word: the task was switched out, or membarrier(2) asked for the update.
 */
static __always_inline void rseq_slice_clear_grant(struct task_struct *t)
{
	if (rseq_slice_extension_enabled() && unlikely(t->rseq.slice.state.granted))
		rseq_slice_revoke(t);
}

/**
 * rseq_slice_update_failed - End a grant of a task that gets SIGSEGV instead of an update
 * @t:		The current task
 *
 * Otherwise the grant would be found at the end of the exit loop, which would try the
 * update again, and send another SIGSEGV before the first one's handler has run.
 */
static inline void rseq_slice_update_failed(struct task_struct *t)
{
	if (rseq_slice_extension_enabled() && unlikely(t->rseq.slice.state.granted))
		rseq_slice_erase_and_revoke(t);
}

/* A macro, because it stands in user access regions of rseq and jumps out of them. */
#define rseq_slice_clear_user(rseq, efault)					\
do {										\
	if (rseq_slice_extension_enabled())					\
		unsafe_put_user(0U, &(rseq)->slice_ctrl.all, efault);		\
} while (0)

/**
 * rseq_slice_fork - Take out of a child's state what belongs to its parent
 * @child:	The new task, which does not run yet
 */
static inline void rseq_slice_fork(struct task_struct *child)
{
	if (rseq_slice_extension_enabled())
		rseq_slice_inherit(child);
}

/**
 * rseq_slice_exit - Account for a grant whose task dies
 * @curr:	The current task, which is exiting
 */
static inline void rseq_slice_exit(struct task_struct *curr)
{
	if (rseq_slice_extension_enabled() && unlikely(curr->rseq.slice.state.granted))
		rseq_slice_die(curr);
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
