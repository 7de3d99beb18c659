// SPDX-License-Identifier: GPL-2.0
#include <linux/ftrace.h>
#include <linux/tracepoint.h>
#include <linux/kernel.h>
#include <linux/module.h>
#include <linux/init.h>
#include <linux/rv.h>
#include <rv/instrumentation.h>

#define MODULE_NAME "rseq_slice"

#include <linux/rseq_slice.h>
#include <trace/events/rseq_slice.h>
#include <trace/events/sched.h>
#include <rv_trace.h>

#define RV_MON_TYPE RV_MON_PER_TASK
#define HA_TIMER_TYPE HA_TIMER_HRTIMER
#include "rseq_slice.h"
#include <rv/ha_monitor.h>

/* For the interrupt that ends a grant, and what keeps it off. */
static u64 slack_ns = 100 * NSEC_PER_USEC;
module_param(slack_ns, ullong, 0644);

static inline u64 bound_ns(struct ha_monitor *ha_mon)
{
	return READ_ONCE(rseq_slice_ext_nsecs) + slack_ns;
}

static u64 ha_get_env(struct ha_monitor *ha_mon, enum envs_rseq_slice env, u64 time_ns)
{
	if (env == clk_rseq_slice)
		return ha_get_clk_ns(ha_mon, env, time_ns);
	return ENV_INVALID_VALUE;
}

static void ha_reset_env(struct ha_monitor *ha_mon, enum envs_rseq_slice env, u64 time_ns)
{
	if (env == clk_rseq_slice)
		ha_reset_clk_ns(ha_mon, env, time_ns);
}

static inline bool ha_verify_invariants(struct ha_monitor *ha_mon,
					enum states curr_state, enum events event,
					enum states next_state, u64 time_ns)
{
	if (curr_state == granted_rseq_slice)
		return ha_check_invariant_ns(ha_mon, clk_rseq_slice, time_ns, bound_ns(ha_mon));
	return true;
}

static inline bool ha_verify_guards(struct ha_monitor *ha_mon,
				    enum states curr_state, enum events event,
				    enum states next_state, u64 time_ns)
{
	bool res = true;

	if (curr_state == idle_rseq_slice && event == grant_rseq_slice)
		ha_reset_env(ha_mon, clk_rseq_slice, time_ns);
	return res;
}

static inline void ha_setup_invariants(struct ha_monitor *ha_mon,
				       enum states curr_state, enum events event,
				       enum states next_state, u64 time_ns)
{
	if (next_state == curr_state)
		return;
	if (next_state == granted_rseq_slice)
		ha_start_timer_ns(ha_mon, clk_rseq_slice, bound_ns(ha_mon), time_ns);
	else if (curr_state == granted_rseq_slice)
		ha_cancel_timer(ha_mon);
}

static bool ha_verify_constraint(struct ha_monitor *ha_mon,
				 enum states curr_state, enum events event,
				 enum states next_state, u64 time_ns)
{
	if (!ha_verify_invariants(ha_mon, curr_state, event, next_state, time_ns))
		return false;

	if (!ha_verify_guards(ha_mon, curr_state, event, next_state, time_ns))
		return false;

	ha_setup_invariants(ha_mon, curr_state, event, next_state, time_ns);

	return true;
}

static void handle_grant(void *data, unsigned int length)
{
	da_handle_start_run_event(current, grant_rseq_slice);
}

static void handle_expire(void *data, struct task_struct *curr)
{
	da_handle_event(curr, expire_rseq_slice);
}

static void handle_end(void *data, struct task_struct *curr, const char *how)
{
	da_handle_event(curr, end_rseq_slice);
}

/* Only a thread with a grant: the others are not worth looking up. */
static void handle_sched_switch(void *data, bool preempt, struct task_struct *prev,
				struct task_struct *next, unsigned int prev_state)
{
	if (prev->rseq.slice.state.granted)
		da_handle_event(prev, switch_out_rseq_slice);
}

static int enable_rseq_slice(void)
{
	int retval;

	retval = ha_monitor_init();
	if (retval)
		return retval;

	rv_attach_trace_probe("rseq_slice", rseq_slice_end, handle_end);
	rv_attach_trace_probe("rseq_slice", rseq_slice_expire, handle_expire);
	rv_attach_trace_probe("rseq_slice", rseq_slice_grant, handle_grant);
	rv_attach_trace_probe("rseq_slice", sched_switch, handle_sched_switch);

	return 0;
}

static void disable_rseq_slice(void)
{
	rv_this.enabled = 0;

	rv_detach_trace_probe("rseq_slice", rseq_slice_end, handle_end);
	rv_detach_trace_probe("rseq_slice", rseq_slice_expire, handle_expire);
	rv_detach_trace_probe("rseq_slice", rseq_slice_grant, handle_grant);
	rv_detach_trace_probe("rseq_slice", sched_switch, handle_sched_switch);

	ha_monitor_destroy();
}

static struct rv_monitor rv_this = {
	.name = "rseq_slice",
	.description = "grants of the rseq time slice extension end in time",
	.enable = enable_rseq_slice,
	.disable = disable_rseq_slice,
	.reset = da_monitor_reset_all,
	.enabled = 0,
};

static int __init register_rseq_slice(void)
{
	return rv_register_monitor(&rv_this, NULL);
}

static void __exit unregister_rseq_slice(void)
{
	rv_unregister_monitor(&rv_this);
}

module_init(register_rseq_slice);
module_exit(unregister_rseq_slice);

MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("rseq_slice: grants of the rseq time slice extension end in time");
