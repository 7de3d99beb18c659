/* SPDX-License-Identifier: MIT OR (GPL-2.0-only WITH Linux-syscall-note) */
/*
 * rseq_slice.h - ask Linux not to preempt a thread inside a short critical section.
 *
 *	rseq_slice_t token = rseq_slice_begin();
 *	...				lock, work for at most some microseconds, unlock
 *	rseq_slice_end(token);
 *
 * This file is complete: it needs no library, no kernel header, and no call at start-up. It is for C11
 * or C++11, gcc or clang, and Linux on x86-64, riscv64, s390x and loongarch64. Everywhere else, and
 * with RSEQ_SLICE_DISABLE defined, sections compile to nothing. rseq_slice_begin() never fails: if
 * there is no extension, the section runs without it, and rseq_slice_support() says why.
 *
 * A thread is set up at its first section. Like everything here, this neither allocates nor locks, calls
 * nothing of the C library, and does not change errno: malloc and signal handlers may use it.
 *
 * With RSEQ_SLICE_OUT_OF_LINE defined there are declarations only, for librseq-slice-ffi.
 */
#ifndef RSEQ_SLICE_H
#define RSEQ_SLICE_H

/* A section's token. Null: a section around this one exists, or there is no extension. */
typedef struct {
	volatile unsigned char *ctrl;
} rseq_slice_t;

/* Why a thread has no extension. 0: it has one. Each cause has one cure, see rseq_slice_strwhy(). */
#define RSEQ_SLICE_WHY_PLATFORM		1
#define RSEQ_SLICE_WHY_NO_RSEQ		2
#define RSEQ_SLICE_WHY_KERNEL_BEFORE_7	3
#define RSEQ_SLICE_WHY_NOT_BUILT_IN	4
#define RSEQ_SLICE_WHY_OFF_AT_BOOT	5
#define RSEQ_SLICE_WHY_LEGACY_AREA	6
#define RSEQ_SLICE_WHY_FOREIGN_AREA	7
#define RSEQ_SLICE_WHY_TCMALLOC		8
#define RSEQ_SLICE_WHY_SWITCHED_OFF	9
#define RSEQ_SLICE_WHY_REFUSED		10

/* The area that a thread shares with the kernel. */
#define RSEQ_SLICE_AREA_NONE		0
#define RSEQ_SLICE_AREA_LIBC		1	/* the C library's */
#define RSEQ_SLICE_AREA_OWN		2	/* one of this header's, as the thread had none */
#define RSEQ_SLICE_AREA_TAKEN_OVER	3	/* one of this header's instead of the C library's */

/* Policy flags. */
#define RSEQ_SLICE_OFF			1U	/* no extensions */
#define RSEQ_SLICE_TAKE_OVER		2U	/* replace a C library's area that is too short */
#define RSEQ_SLICE_EXIT_YIELD		4U	/* end grants by rseq_slice_yield(2) always */
#define RSEQ_SLICE_EXIT_GETPID		8U	/* end grants by getpid(2) always */

#if defined(__linux__) && !defined(__ANDROID__) && defined(__GNUC__) && !defined(RSEQ_SLICE_DISABLE) && \
	((defined(__x86_64__) && !defined(__ILP32__)) || (defined(__riscv) && __riscv_xlen == 64) || \
	 defined(__s390x__) || (defined(__loongarch__) && __loongarch_grlen == 64))
#define RSEQ_SLICE_SUPPORTED 1
#else
#define RSEQ_SLICE_SUPPORTED 0
#endif

#ifdef __GNUC__
#define RSEQ_SLICE_INLINE_ static inline __attribute__((always_inline, no_instrument_function, unused))
#define RSEQ_SLICE_CLEANUP_ __attribute__((cleanup(rseq_slice_cleanup_), unused))
#else
#define RSEQ_SLICE_INLINE_ static inline
#define RSEQ_SLICE_CLEANUP_
#endif
#if defined(RSEQ_SLICE_OUT_OF_LINE)
#define RSEQ_SLICE_PATH_
#define RSEQ_SLICE_API_
#elif !RSEQ_SLICE_SUPPORTED
#define RSEQ_SLICE_PATH_ RSEQ_SLICE_INLINE_
#ifndef RSEQ_SLICE_API_
#define RSEQ_SLICE_API_ RSEQ_SLICE_INLINE_
#endif
#else
#define RSEQ_SLICE_PATH_ RSEQ_SLICE_INLINE_
/* One state for all translation units of a program or of a shared object, and only for these. */
#define RSEQ_SLICE_SHARED_ __attribute__((weak, visibility("hidden")))
#ifndef RSEQ_SLICE_API_
#define RSEQ_SLICE_API_ RSEQ_SLICE_SHARED_
#endif
#endif

#ifdef __cplusplus
extern "C" {
#endif

/*
 * Opens a section: asks the kernel to let the thread run on for some microseconds if it were to be
 * preempted inside. Ask before the lock is tried, and end the section while waiting for the lock.
 */
RSEQ_SLICE_PATH_ rseq_slice_t rseq_slice_begin(void);

/* Closes the section, on the thread that opened it, and gives up the CPU if there is a grant. */
RSEQ_SLICE_PATH_ void rseq_slice_end(rseq_slice_t token);

/* 0: the calling thread has extensions; else RSEQ_SLICE_WHY_*. */
RSEQ_SLICE_API_ int rseq_slice_support(void);

/* With RSEQ_SLICE_WHY_REFUSED: the error of the system call that failed, else 0. */
RSEQ_SLICE_API_ int rseq_slice_support_errno(void);

/* The cause and its cure in a sentence that needs no free(). */
RSEQ_SLICE_API_ const char *rseq_slice_strwhy(int why);

/* RSEQ_SLICE_AREA_* of the calling thread. */
RSEQ_SLICE_API_ int rseq_slice_area(void);

/*
 * Sets the policy of this program or shared object, before its first section. 0, or -1: too late,
 * or -2: the flags are unknown or exclude each other. In both cases nothing changes.
 */
RSEQ_SLICE_API_ int rseq_slice_policy(unsigned int flags);

/*
 * For compilers of code at run time: the calling thread's control word, or null if it has no
 * extension. The byte at 0 is the request, the one at 1 the grant. Access bytes, never the word.
 * Valid until the thread ends.
 */
RSEQ_SLICE_API_ volatile unsigned char *rseq_slice_ctrl(void);

/* Ends a grant. Code of such a compiler calls this if it finds granted set after its section. */
RSEQ_SLICE_API_ void rseq_slice_leave(void);

RSEQ_SLICE_INLINE_ void rseq_slice_cleanup_(rseq_slice_t *token)
{
	rseq_slice_end(*token);
}

/* A section from here to the end of the block, however the block is left, except by longjmp(). */
#define RSEQ_SLICE_SECTION(name) rseq_slice_t name RSEQ_SLICE_CLEANUP_ = rseq_slice_begin()

#ifdef RSEQ_SLICE_OUT_OF_LINE
#elif RSEQ_SLICE_SUPPORTED

#ifdef __has_attribute
#define RSEQ_SLICE_HAS_(a) __has_attribute(a)
#else
#define RSEQ_SLICE_HAS_(a) 0
#endif
#ifdef __clang__
#define RSEQ_SLICE_PLAIN_ __attribute__((no_sanitize("address", "thread", "memory", "undefined")))
#elif RSEQ_SLICE_HAS_(no_sanitize_coverage)
#define RSEQ_SLICE_PLAIN_ __attribute__((no_sanitize_address, no_sanitize_thread, no_sanitize_undefined, \
					 no_sanitize_coverage))
#else
#define RSEQ_SLICE_PLAIN_ __attribute__((no_sanitize_address, no_sanitize_thread, no_sanitize_undefined))
#endif
/*
 * On x86-64 the one call of rseq_slice_begin() preserves all registers. Otherwise the functions that
 * begin a section would have to save some of theirs. The compiler must not use vector registers in it.
 */
#if defined(__x86_64__) && !defined(__APX_F__) && (defined(__clang__) || __GNUC__ >= 8)
#define RSEQ_SLICE_KEEPS_REGISTERS_ 1
#define RSEQ_SLICE_GENERAL_ __attribute__((target("no-sse,no-mmx")))
#else
#define RSEQ_SLICE_KEEPS_REGISTERS_ 0
#define RSEQ_SLICE_GENERAL_
#endif
#define RSEQ_SLICE_COLD_ __attribute__((cold, noinline, no_instrument_function)) RSEQ_SLICE_PLAIN_ RSEQ_SLICE_GENERAL_
#define RSEQ_SLICE_HELPER_ \
	static inline __attribute__((no_instrument_function, unused)) RSEQ_SLICE_PLAIN_ RSEQ_SLICE_GENERAL_

/* No access to these variables may call __tls_get_addr(), which allocates. */
#if defined(__PIC__) && !defined(__PIE__)
#define RSEQ_SLICE_TLS_ RSEQ_SLICE_SHARED_ __attribute__((tls_model("initial-exec")))
#else
#define RSEQ_SLICE_TLS_ RSEQ_SLICE_SHARED_ __attribute__((tls_model("local-exec")))
#endif

#define RSEQ_SLICE_BARRIER_() __asm__ __volatile__("" ::: "memory")

/* Names that translation units share end in the version of the layout. */
struct rseq_slice_state_v0 {
	unsigned char why, area, exit;
	int error;
};

#define RSEQ_SLICE_AREA_SIZE_ 64

/* The first byte looks like a request, so that the first section of a thread takes the slow path. */
extern volatile unsigned char rseq_slice_unset_v0[2] RSEQ_SLICE_SHARED_;
extern __thread volatile unsigned char *rseq_slice_tls_v0 RSEQ_SLICE_TLS_;
extern __thread struct rseq_slice_state_v0 rseq_slice_state_v0 RSEQ_SLICE_TLS_;
extern __thread unsigned char rseq_slice_own_v0[RSEQ_SLICE_AREA_SIZE_] RSEQ_SLICE_TLS_;
extern unsigned int rseq_slice_policy_v0 RSEQ_SLICE_SHARED_;
extern volatile unsigned char *rseq_slice_begin_v0(volatile unsigned char *ctrl) RSEQ_SLICE_SHARED_;
extern void rseq_slice_enter_v0(void) RSEQ_SLICE_SHARED_;
extern void rseq_slice_setup_v0(void) RSEQ_SLICE_SHARED_;
extern unsigned char *rseq_slice_home_v0_(void) RSEQ_SLICE_SHARED_;

/* Both functions access only bytes: a wider load would wait for the byte store that it overlaps. */
RSEQ_SLICE_PATH_ rseq_slice_t rseq_slice_begin(void)
{
	rseq_slice_t token = { rseq_slice_tls_v0 };

#if RSEQ_SLICE_KEEPS_REGISTERS_
	unsigned int bits;
	int on;

	/* Compilers would load each byte to a register, and put the rare paths between the common ones. */
	__asm__("test{q}\t%1, %1" : "=@ccne"(on) : "r"(token.ctrl));
	if (on) {
		__asm__ __volatile__("movz{bl\t(%0), %k1|x\t%k1, byte ptr [%0]}\n\t"
				     "or{b\t1(%0), %b1|\t%b1, byte ptr [%0 + 1]}\n\t"
				     "jne\t772f\n\t"
				     "mov{b\t$1, (%0)|\tbyte ptr [%0], 1}\n771:\n\t"
				     ".subsection 1\n772:\n\t"
				     "lea{q\t771b(%%rip), %%r11|\tr11, 771b[rip]}\n\t"
				     "jmp\trseq_slice_enter_v0\n\t"
				     ".previous"
				     : "+a"(token.ctrl), "=&q"(bits)
				     :
				     : "r11", "cc", "memory");
		(void)bits;
	}
#else
	if (!token.ctrl)
		return token;
	if (__builtin_expect(token.ctrl[0] | token.ctrl[1], 0))
		token.ctrl = rseq_slice_begin_v0(token.ctrl);
	else
		token.ctrl[0] = 1;
	RSEQ_SLICE_BARRIER_();
#endif
	return token;
}

RSEQ_SLICE_PATH_ void rseq_slice_end(rseq_slice_t token)
{
	int granted;

	if (!token.ctrl)
		return;
	RSEQ_SLICE_BARRIER_();
	token.ctrl[0] = 0;
#ifdef __x86_64__
	__asm__ __volatile__("cmp{b\t$0, 1(%1)|\tbyte ptr [%1 + 1], 0}" : "=@ccne"(granted) : "r"(token.ctrl) : "memory");
#else
	granted = token.ctrl[1];
#endif
	if (__builtin_expect(granted, 0))
		rseq_slice_leave();
}

volatile unsigned char rseq_slice_unset_v0[2] = { 0xff, 0 };
RSEQ_SLICE_TLS_ __thread volatile unsigned char *rseq_slice_tls_v0 = rseq_slice_unset_v0;
RSEQ_SLICE_TLS_ __thread struct rseq_slice_state_v0 rseq_slice_state_v0 = { RSEQ_SLICE_WHY_SWITCHED_OFF, 0, 0, 0 };
RSEQ_SLICE_TLS_ __thread unsigned char rseq_slice_own_v0[RSEQ_SLICE_AREA_SIZE_]
	__attribute__((aligned(RSEQ_SLICE_AREA_SIZE_)));
unsigned int rseq_slice_policy_v0;

/*
 * The kernel's numbers. RSEQ_SLICE_SIG_ is the signature of the C library's area. RSEQ_SLICE_GOT_ reads
 * the address of a symbol, or 0, from the global offset table: in other code, the address of a weak
 * symbol that a program was linked without is always 0.
 */
#define RSEQ_SLICE_NR_YIELD_ 471
#if defined(__x86_64__)
#define RSEQ_SLICE_NR_RSEQ_	334
#define RSEQ_SLICE_NR_PRCTL_	157
#define RSEQ_SLICE_NR_GETPID_	39
#define RSEQ_SLICE_NR_OPENAT_	257
#define RSEQ_SLICE_NR_READ_	0
#define RSEQ_SLICE_NR_CLOSE_	3
#define RSEQ_SLICE_SIG_		0x53053053L
#define RSEQ_SLICE_GOT_(p, symbol) \
	__asm__("mov{q\t" symbol "@GOTPCREL(%%rip), %0|\t%0, QWORD PTR " symbol "@GOTPCREL[rip]}" : "=r"(p))
#elif defined(__s390x__)
#define RSEQ_SLICE_NR_RSEQ_	383
#define RSEQ_SLICE_NR_PRCTL_	172
#define RSEQ_SLICE_NR_GETPID_	20
#define RSEQ_SLICE_NR_OPENAT_	288
#define RSEQ_SLICE_NR_READ_	3
#define RSEQ_SLICE_NR_CLOSE_	6
#define RSEQ_SLICE_SIG_		0xb2ff0fffL
#define RSEQ_SLICE_GOT_(p, symbol) __asm__("lgrl\t%0, " symbol "@GOT" : "=r"(p))
#else
#define RSEQ_SLICE_NR_RSEQ_	293
#define RSEQ_SLICE_NR_PRCTL_	167
#define RSEQ_SLICE_NR_GETPID_	172
#define RSEQ_SLICE_NR_OPENAT_	56
#define RSEQ_SLICE_NR_READ_	63
#define RSEQ_SLICE_NR_CLOSE_	57
#if defined(__riscv)
#define RSEQ_SLICE_SIG_		0xf1401073L
#define RSEQ_SLICE_GOT_(p, symbol) \
	__asm__(".option push\n\t.option pic\n\tla\t%0, " symbol "\n\t.option pop" : "=r"(p))
#else
#define RSEQ_SLICE_SIG_		0x002a002aL
#define RSEQ_SLICE_GOT_(p, symbol) __asm__("la.got\t%0, " symbol : "=r"(p))
#endif
#endif

/* A system call of up to four arguments, the fifth being 0. Returns -errno. */
RSEQ_SLICE_HELPER_ long rseq_slice_sys_(long nr, long a, long b, long c, long d)
{
#if defined(__x86_64__)
	register long r10 __asm__("r10") = d;
	register long r8 __asm__("r8") = 0;
	long ret = nr;

	__asm__ __volatile__("syscall"
			     : "+a"(ret)
			     : "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8)
			     : "rcx", "r11", "memory");
	return ret;
#elif defined(__s390x__)
	register long r1 __asm__("1") = nr;
	register long r2 __asm__("2") = a;
	register long r3 __asm__("3") = b;
	register long r4 __asm__("4") = c;
	register long r5 __asm__("5") = d;
	register long r6 __asm__("6") = 0;

	__asm__ __volatile__("svc\t0" : "+d"(r2) : "d"(r1), "d"(r3), "d"(r4), "d"(r5), "d"(r6) : "memory");
	return r2;
#elif defined(__riscv)
	register long a7 __asm__("a7") = nr;
	register long a0 __asm__("a0") = a;
	register long a1 __asm__("a1") = b;
	register long a2 __asm__("a2") = c;
	register long a3 __asm__("a3") = d;
	register long a4 __asm__("a4") = 0;

	__asm__ __volatile__("ecall" : "+r"(a0) : "r"(a7), "r"(a1), "r"(a2), "r"(a3), "r"(a4) : "memory");
	return a0;
#else
	register long a7 __asm__("$a7") = nr;
	register long a0 __asm__("$a0") = a;
	register long a1 __asm__("$a1") = b;
	register long a2 __asm__("$a2") = c;
	register long a3 __asm__("$a3") = d;
	register long a4 __asm__("$a4") = 0;

	__asm__ __volatile__("syscall\t0"
			     : "+r"(a0)
			     : "r"(a7), "r"(a1), "r"(a2), "r"(a3), "r"(a4)
			     : "$t0", "$t1", "$t2", "$t3", "$t4", "$t5", "$t6", "$t7", "$t8", "memory");
	return a0;
#endif
}

RSEQ_SLICE_HELPER_ char *rseq_slice_thread_pointer_(void)
{
	char *tp;

#if defined(__x86_64__)
	__asm__("mov{q\t%%fs:0, %0|\t%0, QWORD PTR fs:0}" : "=r"(tp));
#elif defined(__s390x__)
	tp = (char *)__builtin_thread_pointer();
#elif defined(__riscv)
	__asm__("mv\t%0, tp" : "=r"(tp));
#else
	__asm__("move\t%0, $tp" : "=r"(tp));
#endif
	return tp;
}

/*
 * The kernel writes to an area of this header until its thread ends, so the object that contains the
 * area must not be unloaded. glibc never unloads the object in which it found a unique symbol, which is
 * the first one in the process that has it. The others use its area, and share the control word with it.
 */
RSEQ_SLICE_COLD_ __attribute__((used)) unsigned char *rseq_slice_home_v0_(void)
{
	return rseq_slice_own_v0;
}

#if defined(__PIC__) && !defined(__PIE__)
__asm__(".ifndef rseq_slice_home_v0\n"
	"\t.pushsection .data.rel.ro.rseq_slice_home_v0,\"awG\",@progbits,rseq_slice_home_v0,comdat\n"
	"\t.weak rseq_slice_home_v0\n"
	"\t.type rseq_slice_home_v0, @gnu_unique_object\n"
	"\t.size rseq_slice_home_v0, 8\n"
	"\t.balign 8\n"
	"rseq_slice_home_v0:\n"
	"\t.dc.a rseq_slice_home_v0_\n"
	"\t.popsection\n"
	".endif\n");
#endif

RSEQ_SLICE_HELPER_ unsigned char *rseq_slice_own_(void)
{
#if defined(__PIC__) && !defined(__PIE__)
	unsigned char *(**home)(void);

	RSEQ_SLICE_GOT_(home, "rseq_slice_home_v0");
	return (*home)();
#else
	return rseq_slice_own_v0;
#endif
}

RSEQ_SLICE_HELPER_ unsigned int rseq_slice_word_(const unsigned char *area, int offset)
{
	return *(const volatile unsigned int *)(const void *)(area + offset);
}

#define RSEQ_SLICE_FLAGS_ 16		/* offsets in struct rseq */
#define RSEQ_SLICE_CTRL_ 28
#define RSEQ_SLICE_AVAILABLE_ 0x10U	/* bits of its flags */
#define RSEQ_SLICE_ENABLED_ 0x20U

RSEQ_SLICE_HELPER_ long rseq_slice_register_(unsigned char *area, long size, long flags)
{
	return rseq_slice_sys_(RSEQ_SLICE_NR_RSEQ_, (long)area, size, flags, RSEQ_SLICE_SIG_);
}

RSEQ_SLICE_HELPER_ int rseq_slice_refused_(long error)
{
	rseq_slice_state_v0.error = (int)-error;
	return RSEQ_SLICE_WHY_REFUSED;
}

/* Why an area that is long enough has no extensions. */
RSEQ_SLICE_HELPER_ int rseq_slice_classify_(void)
{
	long mode = rseq_slice_sys_(RSEQ_SLICE_NR_PRCTL_, 79, 1, 0, 0);

	if (mode >= 0)
		return RSEQ_SLICE_WHY_OFF_AT_BOOT;
	if (mode == -22)
		return RSEQ_SLICE_WHY_KERNEL_BEFORE_7;
	if (mode == -524)
		return RSEQ_SLICE_WHY_NOT_BUILT_IN;
	return rseq_slice_refused_(mode);
}

RSEQ_SLICE_HELPER_ int rseq_slice_use_libc_(unsigned char *area)
{
	unsigned int flags = rseq_slice_word_(area, RSEQ_SLICE_FLAGS_);
	long error;

	if (!(flags & RSEQ_SLICE_AVAILABLE_))
		return rseq_slice_classify_();
	if (flags & RSEQ_SLICE_ENABLED_) {
		/* In mode 3 the control word has the BITS layout, where these bytes are a violation. */
		long mode = rseq_slice_sys_(RSEQ_SLICE_NR_PRCTL_, 79, 1, 0, 0);

		return mode >= 0 && mode != 1 ? RSEQ_SLICE_WHY_FOREIGN_AREA : 0;
	}
	error = rseq_slice_sys_(RSEQ_SLICE_NR_PRCTL_, 79, 2, 1, 0);
	return error ? rseq_slice_refused_(error) : 0;
}

/* Whether restartable sequences use the area, as those of tcmalloc do. */
RSEQ_SLICE_HELPER_ int rseq_slice_in_use_(const unsigned char *area)
{
	const void *allocator, *extension;

	__asm__(".weak TCMallocInternalMalloc\n\t.weak MallocExtension_Internal_GetNumericProperty");
	RSEQ_SLICE_GOT_(allocator, "TCMallocInternalMalloc");
	RSEQ_SLICE_GOT_(extension, "MallocExtension_Internal_GetNumericProperty");
	/* rseq_cs, and what some versions keep in the number of the CPU. */
	return allocator || extension || rseq_slice_word_(area, 8) || rseq_slice_word_(area, 12) ||
	       (rseq_slice_word_(area, 0) & 0x80000000U);
}

/* Registers own instead of the C library's 32 bytes. */
RSEQ_SLICE_HELPER_ int rseq_slice_take_over_(unsigned char *own, unsigned char *libc)
{
	long error;

	if (rseq_slice_in_use_(libc))
		return RSEQ_SLICE_WHY_TCMALLOC;
	error = rseq_slice_register_(libc, 32, 1);
	if (error)
		return rseq_slice_refused_(error);
	error = rseq_slice_register_(own, RSEQ_SLICE_AREA_SIZE_, 2);
	if (!error && (rseq_slice_word_(own, RSEQ_SLICE_FLAGS_) & RSEQ_SLICE_ENABLED_))
		return 0;
	if (!error)
		rseq_slice_register_(own, RSEQ_SLICE_AREA_SIZE_, 1);
	rseq_slice_register_(libc, 32, 0);
	return error ? rseq_slice_refused_(error) : RSEQ_SLICE_WHY_OFF_AT_BOOT;
}

/* An area of ours. The first attempt comes before the take-over: libc may have registered none. */
RSEQ_SLICE_HELPER_ int rseq_slice_use_own_(unsigned char *own, unsigned char *libc, unsigned int policy)
{
	long error = rseq_slice_register_(own, RSEQ_SLICE_AREA_SIZE_, 2);
	int why;

	/* EBUSY: another object of the process has registered this area. */
	if (!error || error == -16) {
		if (rseq_slice_word_(own, RSEQ_SLICE_FLAGS_) & RSEQ_SLICE_ENABLED_)
			return 0;
		if (!error)
			rseq_slice_register_(own, RSEQ_SLICE_AREA_SIZE_, 1);
		return rseq_slice_classify_();
	}
	/* A kernel with the extension has rseq(2): a filter has returned ENOSYS. */
	if (error == -38 && rseq_slice_classify_() != RSEQ_SLICE_WHY_OFF_AT_BOOT)
		return RSEQ_SLICE_WHY_NO_RSEQ;
	if (error != -22)
		return rseq_slice_refused_(error);
	why = rseq_slice_classify_();
	if (why != RSEQ_SLICE_WHY_OFF_AT_BOOT)
		return why;
	if (!libc)
		return RSEQ_SLICE_WHY_FOREIGN_AREA;
	if (!(policy & RSEQ_SLICE_TAKE_OVER))
		return RSEQ_SLICE_WHY_LEGACY_AREA;
	rseq_slice_state_v0.area = RSEQ_SLICE_AREA_TAKEN_OVER;
	return rseq_slice_take_over_(own, libc);
}

#define RSEQ_SLICE_USED_ 0x80000000U

RSEQ_SLICE_COLD_ void rseq_slice_setup_v0(void)
{
	const unsigned int *size;
	const long *offset;
	unsigned char *libc = 0, *own;
	unsigned int policy;
	int why;

	/* A signal handler sees a thread without extensions meanwhile. */
	rseq_slice_tls_v0 = 0;
	RSEQ_SLICE_BARRIER_();
	policy = __atomic_fetch_or(&rseq_slice_policy_v0, RSEQ_SLICE_USED_, __ATOMIC_RELAXED);
	if (policy & RSEQ_SLICE_OFF)
		return;

	__asm__(".weak __rseq_size\n\t.weak __rseq_offset");
	RSEQ_SLICE_GOT_(size, "__rseq_size");
	RSEQ_SLICE_GOT_(offset, "__rseq_offset");
	if (size && offset && *size)
		libc = (unsigned char *)rseq_slice_thread_pointer_() + *offset;
	/* A thread may have no area although others have one: its creator had none, or a filter refused it. */
	if (libc && (int)rseq_slice_word_(libc, 4) < 0)
		libc = 0;
	own = libc && *size > 32 ? libc : rseq_slice_own_();
	if (own == libc) {
		rseq_slice_state_v0.area = RSEQ_SLICE_AREA_LIBC;
		why = rseq_slice_use_libc_(libc);
	} else {
		rseq_slice_state_v0.area = RSEQ_SLICE_AREA_OWN;
		why = rseq_slice_use_own_(own, libc, policy);
	}
	rseq_slice_state_v0.why = (unsigned char)why;
	if (why)
		rseq_slice_state_v0.area = RSEQ_SLICE_AREA_NONE;
	RSEQ_SLICE_BARRIER_();
	if (!why)
		rseq_slice_tls_v0 = own + RSEQ_SLICE_CTRL_;
}

RSEQ_SLICE_COLD_ __attribute__((used)) volatile unsigned char *rseq_slice_begin_v0(volatile unsigned char *ctrl)
{
	if (ctrl != rseq_slice_unset_v0)
		return 0;
	rseq_slice_setup_v0();
	ctrl = rseq_slice_tls_v0;
	if (!ctrl || ctrl[0] || ctrl[1])
		return 0;
	ctrl[0] = 1;
	return ctrl;
}

#if RSEQ_SLICE_KEEPS_REGISTERS_
#ifdef __GCC_HAVE_DWARF2_CFI_ASM
#define RSEQ_SLICE_CFI_(directive) ".cfi_" directive "\n\t"
#else
#define RSEQ_SLICE_CFI_(directive)
#endif
#define RSEQ_SLICE_PUSH_(reg) "pushq\t%%" reg "\n\t" RSEQ_SLICE_CFI_("adjust_cfa_offset 8")
#define RSEQ_SLICE_POP_(reg) "popq\t%%" reg "\n\t" RSEQ_SLICE_CFI_("adjust_cfa_offset -8")
/*
 * rax = rseq_slice_begin_v0(rax), then jumps to r11. All other registers stay as they are, and so does
 * the red zone below the stack pointer of the code that jumped here. The unwinder knows the way back.
 */
__attribute__((naked, used, cold, noinline, no_instrument_function)) void rseq_slice_enter_v0(void)
{
	__asm__("{|.att_syntax prefix\n\t}"
		RSEQ_SLICE_CFI_("def_cfa 7, 0") RSEQ_SLICE_CFI_("register 16, 11")
		"leaq\t-128(%%rsp), %%rsp\n\t" RSEQ_SLICE_CFI_("def_cfa_offset 128")
		RSEQ_SLICE_PUSH_("r11") RSEQ_SLICE_CFI_("offset 16, -136")
		RSEQ_SLICE_PUSH_("rcx") RSEQ_SLICE_PUSH_("rdx") RSEQ_SLICE_PUSH_("rsi") RSEQ_SLICE_PUSH_("rdi")
		RSEQ_SLICE_PUSH_("r8") RSEQ_SLICE_PUSH_("r9") RSEQ_SLICE_PUSH_("r10")
		"movq\t%%rax, %%rdi\n\tcall\trseq_slice_begin_v0\n\t"
		RSEQ_SLICE_POP_("r10") RSEQ_SLICE_POP_("r9") RSEQ_SLICE_POP_("r8")
		RSEQ_SLICE_POP_("rdi") RSEQ_SLICE_POP_("rsi") RSEQ_SLICE_POP_("rdx") RSEQ_SLICE_POP_("rcx")
		RSEQ_SLICE_POP_("r11") RSEQ_SLICE_CFI_("register 16, 11")
		"leaq\t128(%%rsp), %%rsp\n\t" RSEQ_SLICE_CFI_("def_cfa_offset 0")
		"notrack jmp\t*%%r11\n\t"
		"{|.intel_syntax noprefix\n}" : );
}
#endif

/* Whether the kernel may kill the thread for rseq_slice_yield(). The first call ends the grant. */
RSEQ_SLICE_HELPER_ int rseq_slice_filtered_(void)
{
	static const char path[] = "/proc/thread-self/status", key[] = "\nSeccomp:\t";
	char text[256];
	unsigned int matched = 0;
	int filtered = -1;
	long fd = rseq_slice_sys_(RSEQ_SLICE_NR_OPENAT_, -100, (long)path, 02000000, 0), size, i;

	if (fd < 0)
		return 1;
	while (filtered < 0) {
		size = rseq_slice_sys_(RSEQ_SLICE_NR_READ_, fd, (long)text, sizeof(text), 0);
		/* Without the line the kernel has no filters. */
		if (size <= 0)
			filtered = size < 0;
		for (i = 0; i < size && filtered < 0; i++) {
			if (matched == sizeof(key) - 1)
				filtered = text[i] != '0';
			else
				matched = text[i] == key[matched] ? matched + 1 : text[i] == '\n';
		}
	}
	rseq_slice_sys_(RSEQ_SLICE_NR_CLOSE_, fd, 0, 0, 0);
	return filtered;
}

RSEQ_SLICE_COLD_ void rseq_slice_leave(void)
{
	unsigned int policy = __atomic_load_n(&rseq_slice_policy_v0, __ATOMIC_RELAXED);
	unsigned char how = (unsigned char)(policy & (RSEQ_SLICE_EXIT_YIELD | RSEQ_SLICE_EXIT_GETPID));

	if (!how)
		how = rseq_slice_state_v0.exit;
	if (how)
		rseq_slice_sys_(how == RSEQ_SLICE_EXIT_YIELD ? RSEQ_SLICE_NR_YIELD_ : RSEQ_SLICE_NR_GETPID_,
				0, 0, 0, 0);
	else
		rseq_slice_state_v0.exit = rseq_slice_filtered_() ? RSEQ_SLICE_EXIT_GETPID : RSEQ_SLICE_EXIT_YIELD;
}

RSEQ_SLICE_COLD_ volatile unsigned char *rseq_slice_ctrl(void)
{
	if (rseq_slice_tls_v0 == rseq_slice_unset_v0)
		rseq_slice_setup_v0();
	return rseq_slice_tls_v0;
}

RSEQ_SLICE_COLD_ int rseq_slice_support(void)
{
	return rseq_slice_ctrl() ? 0 : rseq_slice_state_v0.why;
}

RSEQ_SLICE_COLD_ int rseq_slice_support_errno(void)
{
	return rseq_slice_support() == RSEQ_SLICE_WHY_REFUSED ? rseq_slice_state_v0.error : 0;
}

RSEQ_SLICE_COLD_ int rseq_slice_area(void)
{
	return rseq_slice_ctrl() ? rseq_slice_state_v0.area : RSEQ_SLICE_AREA_NONE;
}

RSEQ_SLICE_COLD_ int rseq_slice_policy(unsigned int flags)
{
	const unsigned int exits = RSEQ_SLICE_EXIT_YIELD | RSEQ_SLICE_EXIT_GETPID;
	unsigned int old = __atomic_load_n(&rseq_slice_policy_v0, __ATOMIC_RELAXED);

	if ((flags & ~(RSEQ_SLICE_OFF | RSEQ_SLICE_TAKE_OVER | exits)) || (flags & exits) == exits)
		return -2;
	do {
		if (old & RSEQ_SLICE_USED_)
			return -1;
	} while (!__atomic_compare_exchange_n(&rseq_slice_policy_v0, &old, flags, 0, __ATOMIC_RELAXED, __ATOMIC_RELAXED));
	return 0;
}

#else /* no extension on this platform */

RSEQ_SLICE_PATH_ rseq_slice_t rseq_slice_begin(void)
{
	rseq_slice_t none = { 0 };
	return none;
}
RSEQ_SLICE_PATH_ void rseq_slice_end(rseq_slice_t token) { (void)token; }
RSEQ_SLICE_API_ int rseq_slice_support(void) { return RSEQ_SLICE_WHY_PLATFORM; }
RSEQ_SLICE_API_ int rseq_slice_support_errno(void) { return 0; }
RSEQ_SLICE_API_ int rseq_slice_area(void) { return RSEQ_SLICE_AREA_NONE; }
RSEQ_SLICE_API_ volatile unsigned char *rseq_slice_ctrl(void) { return 0; }
RSEQ_SLICE_API_ void rseq_slice_leave(void) {}
RSEQ_SLICE_API_ int rseq_slice_policy(unsigned int flags) { return flags & ~15U || (flags & 12U) == 12U ? -2 : 0; }
#define RSEQ_SLICE_COLD_
#endif

#ifndef RSEQ_SLICE_OUT_OF_LINE
RSEQ_SLICE_API_ RSEQ_SLICE_COLD_ const char *rseq_slice_strwhy(int why)
{
	switch (why) {
	case 0:
		return "Time slice extensions work in this thread.";
	case RSEQ_SLICE_WHY_PLATFORM:
		return "This program was built without time slice extensions: build it for Linux on x86-64, riscv64, s390x or loongarch64.";
	case RSEQ_SLICE_WHY_NO_RSEQ:
		return "The kernel has no restartable sequences: use one that was built with CONFIG_RSEQ.";
	case RSEQ_SLICE_WHY_KERNEL_BEFORE_7:
		return "The kernel is older than Linux 7.0: use a newer one.";
	case RSEQ_SLICE_WHY_NOT_BUILT_IN:
		return "The kernel was built without time slice extensions: use one that was built with CONFIG_RSEQ_SLICE_EXTENSION.";
	case RSEQ_SLICE_WHY_OFF_AT_BOOT:
		return "Time slice extensions were switched off at boot: remove rseq_slice_ext=off from the kernel command line.";
	case RSEQ_SLICE_WHY_LEGACY_AREA:
		return "The C library registered an area of 32 bytes, as glibc before 2.41 does: allow the take-over, or start the program with GLIBC_TUNABLES=glibc.pthread.rseq=0.";
	case RSEQ_SLICE_WHY_FOREIGN_AREA:
		return "Another library of this program registered an rseq area of its own: let that one use the extensions, or turn its area off.";
	case RSEQ_SLICE_WHY_TCMALLOC:
		return "tcmalloc, or another library with restartable sequences, may depend on the area of the C library: run the program with another allocator, or with glibc 2.41 or newer.";
	case RSEQ_SLICE_WHY_SWITCHED_OFF:
		return "Time slice extensions were switched off for this program: let it not choose the policy RSEQ_SLICE_OFF.";
	case RSEQ_SLICE_WHY_REFUSED:
		return "A system call of the set-up failed, see rseq_slice_support_errno(): let the sandbox of this program allow rseq(2) and prctl(2).";
	}
	return "No such cause: rseq_slice_support() returns the valid ones.";
}
#endif

#ifdef __cplusplus
}
#endif

#endif /* RSEQ_SLICE_H */
