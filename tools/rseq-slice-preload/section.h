/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The section of a thread that holds locks.
 *
 * An interposed function takes the lock by the C library's own trylock inside a section. The first lock
 * that a thread takes begins the section, the release of the last one ends it. Locks are counted because
 * lock and unlock are two calls that cannot pass a token, and because locks are released in any order. A
 * release without a lock is ignored: the lock was taken by another thread, or before the constructor ran.
 *
 * A signal handler may take locks between any two accesses of this file, and has released them when
 * it returns.
 */
#ifndef SECTION_H
#define SECTION_H

#include <stddef.h>
#include <stdint.h>

#include "preload.h"
#include "stats.h"

/*
 * What a thread holds. 0: nothing. An even number: the address of one lock, whose section made the
 * request. Odd: a multiple of HELD_COUNT for the locks, with HELD_MINE if their section made the
 * request.
 */
#define HELD_ODD 1UL
#define HELD_MINE 2UL
#define HELD_COUNT 4UL
#define HELD_ONE (HELD_COUNT | HELD_ODD)

/*
 * A control word, or one that only this library accesses and whose request is always set: for a thread
 * that is not set up, for one without the extension, and for fast paths with statistics.
 */
typedef volatile unsigned char word_t;
enum { WORD_REQUEST, WORD_GRANTED, WORD_OFF };
extern HIDDEN word_t word_unset[4], word_off[4], word_slow[4];

struct thread {
	word_t *word;		/* what sections look at */
	uintptr_t held;
	/* What fast paths look at. */
	word_t *spin, *mutex, *rwlock;
	unsigned char omitted[256];	/* whether mutexes of this kind are in no section */
};
extern HIDDEN __thread struct thread thread;

/* Sets the thread up. Returns whether it can make a request now. */
HIDDEN bool thread_set_up(void);

/* There is a grant: gives up the CPU. */
HIDDEN void section_leave(void);
HIDDEN int section_leave_with(int result);

static inline uintptr_t held_counted(void)
{
	uintptr_t held = thread.held;

	return held && !(held & HELD_ODD) ? HELD_ONE | HELD_MINE : held;
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

static inline void section_clear_request(void)
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

/* The lock is released, or could not be taken. */
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
		section_clear_request();
}

/* The thread is about to wait. A waiter with a grant would keep the holder from the CPU. */
static inline void section_suspend(void)
{
	uintptr_t held = held_counted();

	thread.held = held & ~HELD_MINE;
	barrier();
	if (held & HELD_MINE)
		section_clear_request();
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

/*
 * The fast path: one lock of a thread that has the extension and holds no other. A load of a word and
 * one test detect a section around this one, a lock that is held already, a thread without the extension
 * and one that is not set up. The thread then holds the address of the lock, and its release only has to
 * compare that.
 */
#ifdef __x86_64__
/* With memory operands, which compilers do not make of volatile accesses. */
static inline bool set(word_t *byte)
{
	int is;

	__asm__ __volatile__("cmp{b\t$0, %1|\t%1, 0}" : "=@ccne"(is) : "m"(*byte));
	return is;
}

static inline uintptr_t with(uintptr_t bits, word_t *byte)
{
	__asm__ __volatile__("or{b\t%1, %b0|\t%b0, %1}" : "+q"(bits) : "m"(*byte));
	return bits;
}

static inline bool held_or(uintptr_t bits)
{
	int is;

	__asm__ __volatile__("or{q\t%2, %0|\t%0, %2}" : "+r"(bits), "=@ccne"(is) : "m"(thread.held));
	return is;
}

#else
static inline bool set(word_t *byte)
{
	return *byte;
}

static inline uintptr_t with(uintptr_t bits, word_t *byte)
{
	return bits | *byte;
}

static inline bool held_or(uintptr_t bits)
{
	return bits | thread.held;
}

#endif

static inline bool busy(word_t *word)
{
	return held_or(with(word[WORD_REQUEST], &word[WORD_GRANTED]));
}

/* The lock is about to be tried. */
static inline void section_begin(word_t *word, const volatile void *lock)
{
	thread.held = (uintptr_t)lock;
	barrier();
	word[WORD_REQUEST] = 1;
	barrier();
}

/*
 * The result of an attempt that did not fail, which the compiler would otherwise load as the 0 that it
 * knows.
 */
static inline int as_tried(int error)
{
	__asm__("" : "+r"(error));
	return error;
}

/* In a register that calls preserve. It is then saved only for the rest of the function. */
#define KEPT(lock) ({								\
	__typeof__(lock) kept_ = (lock);					\
										\
	__asm__("" : "+r"(kept_));						\
	kept_;									\
})

/*
 * Defines the function that releases a lock. On the fast path it ends the section even if the release
 * fails: then the thread is not the holder of the lock. Until the request is cleared, the sections of
 * signal handlers are parts of this one.
 */
#ifdef __x86_64__
/* A compiler would save a register over the call, for the word. The stack takes an instruction less. */
#define UNLOCK(kind, type)							\
	HIDDEN int kind##_unlock_slowly(type *lock);				\
										\
	EXPORT __attribute__((naked)) int pthread_##kind##_unlock(type *lock __attribute__((unused)))	\
	{									\
		__asm__("{|.att_syntax prefix\n\t}"				\
			"movq\tthread@gottpoff(%%rip), %%rax\n\t"		\
			"cmpq\t%%rdi, %%fs:%c[held](%%rax)\n\t"		\
			"jne\t1f\n\t"						\
			"pushq\t%%fs:%c[word](%%rax)\n\t"			\
			".cfi_adjust_cfa_offset 8\n\t"				\
			"movq\t$0, %%fs:%c[held](%%rax)\n\t"			\
			"call\t*real+%c[unlock](%%rip)\n\t"			\
			"popq\t%%rdx\n\t"					\
			".cfi_adjust_cfa_offset -8\n\t"				\
			"movb\t$0, %c[request](%%rdx)\n\t"			\
			"cmpb\t$0, %c[granted](%%rdx)\n\t"			\
			"jne\t2f\n\t"						\
			"ret\n"							\
			"1:\tcmpq\t$0, %%fs:%c[held](%%rax)\n\t"		\
			"jne\t" #kind "_unlock_slowly\n\t"			\
			"jmp\t*real+%c[unlock](%%rip)\n"			\
			"2:\tmovl\t%%eax, %%edi\n\t"				\
			"jmp\tsection_leave_with\n\t"				\
			"{|.intel_syntax noprefix\n}"				\
			: : [held]"i"(offsetof(struct thread, held)), [word]"i"(offsetof(struct thread, kind)),	\
			    [unlock]"i"(offsetof(struct real, kind##_unlock)),	\
			    [request]"i"(WORD_REQUEST), [granted]"i"(WORD_GRANTED));	\
	}
#else
#define UNLOCK(kind, type)							\
	HIDDEN int kind##_unlock_slowly(type *lock);				\
										\
	EXPORT int pthread_##kind##_unlock(type *lock)				\
	{									\
		word_t *word = thread.kind;					\
		int error;							\
										\
		if (unlikely(thread.held != (uintptr_t)lock))			\
			return likely(!thread.held) ? real.kind##_unlock(lock) : kind##_unlock_slowly(lock);	\
		thread.held = 0;						\
		barrier();							\
		error = real.kind##_unlock(lock);				\
		barrier();							\
		word[WORD_REQUEST] = 0;						\
		return unlikely(word[WORD_GRANTED]) ? section_leave_with(error) : error;	\
	}
#endif

/* Whether the C library finds no error in these arguments: it looks at them and at the lock in an order of its own. */
static inline bool usual(clockid_t clock, const struct timespec *until)
{
	return (clock == CLOCK_REALTIME || clock == CLOCK_MONOTONIC) && until && until->tv_sec >= 0 &&
	       until->tv_nsec >= 0 && until->tv_nsec < 1000000000;
}

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
