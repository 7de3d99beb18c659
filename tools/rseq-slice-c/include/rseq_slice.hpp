/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * rseq_slice.hpp - rseq_slice.h for C++11 and newer: a section as an object, and any lock inside
 * sections.
 *
 *	rseq_slice::sliced<spin_lock> lock;
 *	std::lock_guard<rseq_slice::sliced<spin_lock>> guard(lock);
 */
#ifndef RSEQ_SLICE_HPP
#define RSEQ_SLICE_HPP

#include "rseq_slice.h"

#include <utility>

namespace rseq_slice {

/* 0, or RSEQ_SLICE_WHY_*: why the calling thread has no extensions. */
inline int support() noexcept
{
	return rseq_slice_support();
}

/* A section from here to the end of the scope, however the scope is left. It belongs to its thread. */
class scope {
public:
	scope() noexcept : token_(rseq_slice_begin()) {}
	~scope() { rseq_slice_end(token_); }
	scope(const scope &) = delete;
	scope &operator=(const scope &) = delete;

private:
	rseq_slice_t token_;
};

namespace detail {

inline void relax() noexcept
{
#if defined(__x86_64__) || defined(__i386__)
	__builtin_ia32_pause();
#elif defined(__GNUC__)
	__asm__ __volatile__("" ::: "memory");
#endif
}

} /* namespace detail */

/*
 * The lock M, held inside a section. M has lock(), try_lock() and unlock(), and is not recursive:
 * there is one place for the token of its holder. This class has the same functions, so that
 * std::lock_guard, std::unique_lock, std::scoped_lock and std::condition_variable_any accept it. If a
 * thread holds two such locks, the release of the one that it took first ends the section.
 *
 * A lock that is held is tried again Attempts times, each time after Pause spin loop hints, before
 * M.lock() waits for it. Nobody waits with a request: it would keep the CPU from the holder.
 */
template <class M, unsigned Attempts = 3, unsigned Pause = 100>
class sliced {
public:
	template <class... Args>
	explicit constexpr sliced(Args &&...args) : lock_(std::forward<Args>(args)...), token_() {}
	sliced(const sliced &) = delete;
	sliced &operator=(const sliced &) = delete;

	void lock()
	{
		for (unsigned attempt = 0; !try_lock(); attempt++) {
			if (attempt == Attempts) {
				lock_.lock();
				token_ = rseq_slice_begin();
				return;
			}
			for (unsigned i = 0; i < Pause; i++)
				detail::relax();
		}
	}

	bool try_lock()
	{
		pending opened;
		if (!lock_.try_lock())
			return false;
		token_ = opened.keep();
		return true;
	}

	void unlock()
	{
		/* Read while the lock protects it. */
		const rseq_slice_t token = token_;
		lock_.unlock();
		rseq_slice_end(token);
	}

	/* The lock itself, for its other functions. If it is taken through this, there is no section. */
	M &inner() noexcept { return lock_; }

private:
	/* A section that ends unless it is kept, even if M throws. */
	class pending {
	public:
		pending() noexcept : token_(rseq_slice_begin()) {}
		~pending() { rseq_slice_end(token_); }
		pending(const pending &) = delete;
		pending &operator=(const pending &) = delete;

		rseq_slice_t keep() noexcept
		{
			const rseq_slice_t token = token_;
			token_ = rseq_slice_t();
			return token;
		}

	private:
		rseq_slice_t token_;
	};

	M lock_;
	rseq_slice_t token_; /* the holder's */
};

} /* namespace rseq_slice */

#endif /* RSEQ_SLICE_HPP */
