/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Automatically generated C representation of rseq_slice automaton
 * For further information about this format, see kernel documentation:
 *   Documentation/trace/rv/deterministic_automata.rst
 */

#define MONITOR_NAME rseq_slice

enum states_rseq_slice {
	idle_rseq_slice,
	granted_rseq_slice,
	spent_rseq_slice,
	state_max_rseq_slice,
};

#define INVALID_STATE state_max_rseq_slice

enum events_rseq_slice {
	end_rseq_slice,
	expire_rseq_slice,
	grant_rseq_slice,
	switch_out_rseq_slice,
	event_max_rseq_slice,
};

enum envs_rseq_slice {
	clk_rseq_slice,
	env_max_rseq_slice,
	env_max_stored_rseq_slice = env_max_rseq_slice,
};

_Static_assert(env_max_stored_rseq_slice <= MAX_HA_ENV_LEN, "Not enough slots");
#define HA_CLK_NS

struct automaton_rseq_slice {
	char *state_names[state_max_rseq_slice];
	char *event_names[event_max_rseq_slice];
	char *env_names[env_max_rseq_slice];
	unsigned char function[state_max_rseq_slice][event_max_rseq_slice];
	unsigned char initial_state;
	bool final_states[state_max_rseq_slice];
};

static const struct automaton_rseq_slice automaton_rseq_slice = {
	.state_names = {
		"idle",
		"granted",
		"spent",
	},
	.event_names = {
		"end",
		"expire",
		"grant",
		"switch_out",
	},
	.env_names = {
		"clk",
	},
	.function = {
		{
			INVALID_STATE,
			INVALID_STATE,
			granted_rseq_slice,
			INVALID_STATE,
		},
		{
			idle_rseq_slice,
			spent_rseq_slice,
			INVALID_STATE,
			spent_rseq_slice,
		},
		{
			idle_rseq_slice,
			INVALID_STATE,
			INVALID_STATE,
			spent_rseq_slice,
		},
	},
	.initial_state = idle_rseq_slice,
	.final_states = { 1, 0, 0 },
};
