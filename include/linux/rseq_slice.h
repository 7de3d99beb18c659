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
 * rseq_arm_slice_extension_timer - Keep a grant without a timer out of user mode
 *
 * Invoked at the end of the exit loop with interrupts disabled. The timer was armed
 * together with the grant. A grant whose timer has fired, or whose task was switched
 * out, without an update of user space on the way since has to go, and such an update
 * revokes it without another reschedule: only a task that was not interrupted in user
 * mode comes here with one. Furthermore an update may have revoked the grant of a task
 * that did not leave the CPU, and asked for the postponed reschedule after the work
 * flags were read. Tasks that do not use extensions pass.
 *
 * A task that goes through the exit loop again may have lost its events, user_irq
 * among them: they were cleared if TIF_RSEQ was set. But then sched_switch was set as
 * well, unless there is no restartable sequence to look at, and the update has looked.
 * So nothing is left to do that they would tell of, and it does no harm either that
 * need_resched() may see what another CPU has set since the work flags were read.
 *
 * Return: true if the task has to go through the exit loop again.
 */
static __always_inline bool rseq_arm_slice_extension_timer(void)
{
	struct task_struct *curr = current;
	struct rseq_slice *slice = &curr->rseq.slice;

	if (!rseq_slice_extension_enabled())
		return false;

	if (unlikely(slice->state.granted) &&
	    slice->switches != curr->nvcsw + curr->nivcsw) {
		curr->rseq.event.ids_changed = true;
		curr->rseq.event.sched_switch = true;
		set_thread_flag(TIF_RSEQ);
		return true;
	}

	return unlikely(need_resched()) && slice->state.enabled;
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
struct task_struct;

static inline void rseq_slice_fork(struct task_struct *child) { }
static inline void rseq_slice_exit(struct task_struct *curr) { }
#endif /* !CONFIG_RSEQ_SLICE_EXTENSION_RUST */

#endif /* _LINUX_RSEQ_SLICE_H */
