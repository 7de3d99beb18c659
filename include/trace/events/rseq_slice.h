/* SPDX-License-Identifier: GPL-2.0 */
#undef TRACE_SYSTEM
#define TRACE_SYSTEM rseq_slice

#if !defined(_TRACE_RSEQ_SLICE_H) || defined(TRACE_HEADER_MULTI_READ)
#define _TRACE_RSEQ_SLICE_H

#include <linux/minmax.h>
#include <linux/sched.h>
#include <linux/timekeeping.h>
#include <linux/tracepoint.h>

#if defined(CREATE_TRACE_POINTS) && defined(CONFIG_TRACEPOINTS)
/* A name, not a number, so that histograms show it. */
static inline const char *rseq_slice_refusal_reason(unsigned long work, bool switched)
{
	if (work & (_TIF_SIGPENDING | _TIF_NOTIFY_SIGNAL))
		return "signal";
	if (work & _TIF_NOTIFY_RESUME)
		return "notify_resume";
	if (work & _TIF_RSEQ)
		return "rseq";
	if (work & _TIF_UPROBE)
		return "uprobe";
	if (work & _TIF_PATCH_PENDING)
		return "livepatch";
	if (work & _TIF_NEED_RESCHED)
		return "urgent";
	if (work)
		return "arch";
	return switched ? "switched" : "cpu";
}

/* The fast clock may step back a little in an interrupt. */
static inline u64 rseq_slice_time_used(const struct task_struct *curr)
{
	u64 now = ktime_get_mono_fast_ns();

	return max(now, curr->rseq.slice.begin) - curr->rseq.slice.begin;
}
#endif /* CREATE_TRACE_POINTS && CONFIG_TRACEPOINTS */

/**
 * rseq_slice_grant - A request was granted
 * @curr:	The task that has the grant
 * @end:	When it expires, in nanoseconds of CLOCK_MONOTONIC
 *
 * Called with interrupts disabled, on the CPU that the task retains, before the timer
 * is started.
 */
TRACE_EVENT(rseq_slice_grant,
	TP_PROTO(struct task_struct *curr, ktime_t end),
	TP_ARGS(curr, end),

	TP_STRUCT__entry(
		__field(unsigned int,	length)
	),

	TP_fast_assign(
		__entry->length = end - curr->rseq.slice.begin;
	),

	TP_printk("length=%u", __entry->length)
);

/*
 * rseq_slice_refuse - A request was refused
 * @requested:	Whether there was a request: no event otherwise
 * @work:	The work flags (_TIF_*) that forbade the grant, 0 for another reason
 * @switched:	Whether the reason is that the task was scheduled out meanwhile
 *
 * If there is neither work nor a switch, this CPU must not postpone a reschedule, see
 * rseq_slice_postpone_resched().
 */
TRACE_EVENT_CONDITION(rseq_slice_refuse,
	TP_PROTO(bool requested, unsigned long work, bool switched),
	TP_ARGS(requested, work, switched),

	TP_CONDITION(requested),

	TP_STRUCT__entry(
		__field(unsigned long,	work)
		__string(reason,	rseq_slice_refusal_reason(work, switched))
	),

	TP_fast_assign(
		__entry->work = work;
		__assign_str(reason);
	),

	TP_printk("reason=%s work=0x%lx", __get_str(reason), __entry->work)
);

/**
 * rseq_slice_expire - The timer of a grant fired while the grant was live
 * @curr:	The task that has the grant
 *
 * Called in the interrupt of the timer.
 */
TRACE_EVENT(rseq_slice_expire,
	TP_PROTO(struct task_struct *curr),
	TP_ARGS(curr),

	TP_STRUCT__entry(
		__field(u64,	used)
	),

	TP_fast_assign(
		__entry->used = rseq_slice_time_used(curr);
	),

	TP_printk("used=%llu", __entry->used)
);

/**
 * rseq_slice_end - A grant ended
 * @curr:	The task that had the grant
 * @how:	yielded, aborted, revoked or died
 *
 * The time used, in nanoseconds, is the time since the grant. It goes on while the
 * task is scheduled out with a grant that is spent.
 */
TRACE_EVENT(rseq_slice_end,
	TP_PROTO(struct task_struct *curr, const char *how),
	TP_ARGS(curr, how),

	TP_STRUCT__entry(
		__string(how,	how)
		__field(u64,	used)
	),

	TP_fast_assign(
		__assign_str(how);
		__entry->used = rseq_slice_time_used(curr);
	),

	TP_printk("how=%s used=%llu", __get_str(how), __entry->used)
);

#endif /* _TRACE_RSEQ_SLICE_H */

/* This part must be outside protection */
#include <trace/define_trace.h>
