/* SPDX-License-Identifier: GPL-2.0 */
/*
 * System calls of the two 32-bit ABIs of x86_64, i386 and x32, without a C
 * library: a machine that builds the kernel rarely has one for them. The fifth
 * argument is zero, as prctl(2) wants it.
 */
#ifndef RSEQ_SLICE_COMPAT_SYS_H
#define RSEQ_SLICE_COMPAT_SYS_H

typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;

#ifdef __i386__
#define ABI "i386"
enum {
	SYS_fork = 2,
	SYS_read = 3,
	SYS_write = 4,
	SYS_open = 5,
	SYS_close = 6,
	SYS_getpid = 20,
	SYS_kill = 37,
	SYS_wait4 = 114,
	SYS_sched_setscheduler = 156,
	SYS_nanosleep = 162,
	SYS_prctl = 172,
	SYS_rt_sigaction = 174,
	SYS_sigaltstack = 186,
	SYS_sched_setaffinity = 241,
	SYS_exit_group = 252,
	SYS_rseq = 386,
	SYS_rseq_slice_yield = 471,
};

struct timespec {
	int sec, nsec;
};

static long sys4(long number, long a, long b, long c, long d)
{
	long ret;

	__asm__ volatile("int $0x80"
			 : "=a"(ret)
			 : "a"(number), "b"(a), "c"(b), "d"(c), "S"(d), "D"(0)
			 : "memory");
	return ret;
}
#else
#define ABI "x32"
#define X32(number) (0x40000000 | (number))
enum {
	SYS_read = X32(0),
	SYS_write = X32(1),
	SYS_open = X32(2),
	SYS_close = X32(3),
	SYS_nanosleep = X32(35),
	SYS_getpid = X32(39),
	SYS_fork = X32(57),
	SYS_wait4 = X32(61),
	SYS_kill = X32(62),
	SYS_sched_setscheduler = X32(144),
	SYS_prctl = X32(157),
	SYS_sched_setaffinity = X32(203),
	SYS_exit_group = X32(231),
	SYS_rseq = X32(334),
	SYS_rseq_slice_yield = X32(471),
};

struct timespec {
	long long sec, nsec;
};

static long sys4(long number, long a, long b, long c, long d)
{
	register long long r10 __asm__("r10") = (u32)d, r8 __asm__("r8") = 0;
	long long ret;

	__asm__ volatile("syscall"
			 : "=a"(ret)
			 : "a"((long long)number), "D"((long long)(u32)a),
			   "S"((long long)(u32)b), "d"((long long)(u32)c), "r"(r10), "r"(r8)
			 : "rcx", "r11", "memory");
	return ret;
}
#endif

#define sys(number, a, b, c) sys4(number, (long)(a), (long)(b), (long)(c), 0)

static inline u64 ticks(void)
{
	u32 low, high;

	__asm__ volatile("rdtsc" : "=a"(low), "=d"(high));
	return low | (u64)high << 32;
}

static u32 length_of(const char *text)
{
	u32 length = 0;

	while (text[length])
		length++;
	return length;
}

static void say(const char *text)
{
	sys(SYS_write, 1, text, length_of(text));
}

static void say_number(u32 number)
{
	char digits[12];
	u32 at = sizeof(digits);

	digits[--at] = 0;
	do {
		digits[--at] = '0' + number % 10;
		number /= 10;
	} while (number);
	say(digits + at);
}

#endif
