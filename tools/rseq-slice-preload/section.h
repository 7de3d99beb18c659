/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The section of a thread that holds locks.
 *
 * An interposed function takes the lock by the C library's own trylock inside of a section. The first
 * lock that a thread takes begins the section, the release of the last one ends it. Locks are counted
 * since lock and unlock are two calls between which no token can be carried, and since locks are
 * released in any order. A release without a lock is ignored: the lock was taken by another thread,
 * or before the constructor ran.
 *
 * A signal handler may take locks between any two accesses of this file, and has released them when
 * it returns.
 */
#ifndef SECTION_H
#define SECTION_H

#include <stdint.h>

#include "preload.h"
#include "stats.h"

/*
 * What a thread holds. 0: nothing. An address of a control word, which is a multiple of 4 but not
 * of 8: one spin lock, whose section made the request. Else a multiple of HELD_COUNT for the locks,
 * with HELD_ODD, with HELD_MINE if their section made the request, and with HELD_QUICK if it is one
 * mutex that was taken the short way.
 */
#define HELD_ODD 1UL
#define HELD_MINE 2UL
#define HELD_POINTER 4UL
#define HELD_QUICK 8UL
#define HELD_COUNT 16UL
#define HELD_ONE (HELD_COUNT | HELD_ODD)

/*
 * A control word, or one that nobody but this library looks at and whose request is always set: for
 * a thread that is not set up, for one without the extension, for short ways under statistics.
 */
typedef volatile unsigned char word_t;
enum { WORD_REQUEST, WORD_GRANTED, WORD_OFF };
extern HIDDEN word_t word_unset[4], word_off[4], word_slow[4];

struct thread {
	word_t *spin;	/* what spin locks look at */
	uintptr_t held;
	word_t *mutex;	/* what the short way of mutexes looks at */
	word_t *word;	/* what sections look at */
};
extern HIDDEN __thread struct thread thread;

/* Whether the thread has the extension, which it did not know yet. */
HIDDEN bool thread_set_up(void);

/* The kernel has set granted: gives the CPU back. */
HIDDEN void section_leave(void);
HIDDEN int section_leave_with(int result);

static inline uintptr_t held_counted(void)
{
	uintptr_t held = thread.held;

	return held & HELD_POINTER ? HELD_ONE | HELD_MINE : held & ~HELD_QUICK;
}

/* Makes the request if there is none. The thread holds a lock or is about to. */
static inline void section_request(void)
{
	word_t *word = thread.word;

	if (unlikely(word[WORD_REQUEST] | word[WORD_GRANTED])) {
		if (word != word_unset || !thread_set_up())
			return;
		word = thread.word;
	}
	thread.held |= HELD_MINE;
	barrier();
	word[WORD_REQUEST] = 1;
	barrier();
}

static inline void section_withdraw(void)
{
	word_t *word = thread.word;

	barrier();
	if (unlikely(config.stats) && !word[WORD_REQUEST] && !word[WORD_GRANTED])
		stats_lost();
	word[WORD_REQUEST] = 0;
	if (unlikely(word[WORD_GRANTED]))
		section_leave();
}

/* One more lock is about to be taken. */
static inline void section_enter(void)
{
	uintptr_t held = held_counted();

	thread.held = held ? held + HELD_COUNT : HELD_ONE;
	barrier();
	if (!held)
		section_request();
}

/* The lock is released, or was not to be had. */
static inline void section_exit(void)
{
	uintptr_t held = held_counted();

	if (held >= 2 * HELD_COUNT) {
		thread.held = held - HELD_COUNT;
		return;
	}
	if (unlikely(config.stats) && held)
		stats_held();
	/* First, so that the section of a signal handler from here on is its own. */
	thread.held = 0;
	barrier();
	if (held & HELD_MINE)
		section_withdraw();
}

/* The thread is about to wait. Whoever runs on while it waits keeps the holder from the CPU. */
static inline void section_suspend(void)
{
	uintptr_t held = held_counted();

	thread.held = held & ~HELD_MINE;
	barrier();
	if (held & HELD_MINE)
		section_withdraw();
}

static inline void section_resume(void)
{
	if (thread.held)
		section_request();
}

/* The lock is taken, or error says why not. */
static inline int section_taken(int error, const void *site)
{
	if (likely(!error)) {
		if (unlikely(config.stats))
			stats_taken(site, thread.held < 2 * HELD_COUNT);
	} else {
		section_exit();
	}
	return error;
}

/* For short ways. */
#ifdef __x86_64__
/*
 * As memory operands, which compilers do not make of volatile accesses. No register is then in use
 * where a thread without the extension leaves.
 */
static inline bool held_pointer(void)
{
	int is;

	__asm__ __volatile__("test{b\t%1, %2|\t%2, %1}"
			     : "=@ccne"(is) : "i"(HELD_POINTER), "m"(*(unsigned char *)&thread.held));
	return is;
}

static inline bool set(word_t *byte)
{
	int is;

	__asm__ __volatile__("cmp{b\t$0, %1|\t%1, 0}" : "=@ccne"(is) : "m"(*byte));
	return is;
}

static inline bool busy(word_t *word)
{
	unsigned int bits;
	int is;

	__asm__ __volatile__("movz{bl\t%2, %k0|x\t%k0, %2}\n\tor{b\t%3, %b0|\t%b0, %3}\n\tor{b\t%4, %b0|\t%b0, %4}"
			     : "=&q"(bits), "=@ccne"(is)
			     : "m"(word[WORD_REQUEST]), "m"(word[WORD_GRANTED]), "m"(*(unsigned char *)&thread.held));
	return is;
}
#else
static inline bool held_pointer(void)
{
	return thread.held & HELD_POINTER;
}

static inline bool set(word_t *byte)
{
	return *byte;
}

static inline bool busy(word_t *word)
{
	return word[WORD_REQUEST] | word[WORD_GRANTED] || thread.held;
}
#endif

static inline void relax(void)
{
#if defined(__x86_64__)
	__builtin_ia32_pause();
#elif defined(__riscv)
	__asm__ __volatile__(".insn i 0x0f, 0, x0, x0, 0x010");	/* pause */
#else
	barrier();
#endif
}

#endif
