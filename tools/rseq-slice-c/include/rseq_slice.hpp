/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * rseq_slice.hpp - rseq_slice.h for C++11 and newer: a section as an object, and any lock inside of
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

/* A section from here to the end of the scope, however that is left. Belongs to its thread. */
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
 * The lock M, held inside of a section. M has lock(), try_lock() and unlock(), and is not recursive:
 * there is one place for the token of its holder. This has the same functions, so that std::lock_guard,
 * std::unique_lock, std::scoped_lock and std::condition_variable_any take it. Of two such locks that are
 * held at once, the one that was taken first ends the section when it is released.
 *
 * Attempts is how often a lock that is held is tried before M.lock() waits for it, each time after
 * Pause looks elsewhere. Nobody waits with a request: it would keep the CPU from the holder.
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

	/* The lock itself, for what it has besides. Taken through this it is held without a section. */
	M &inner() noexcept { return lock_; }

private:
	/* A section that ends unless it is kept: also if M throws. */
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
