/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* rseq_slice.hpp and schedctl.h: exclusion, the control word at rest, with the extension and without. */
#include <cerrno>
#include <condition_variable>
#include <cstdio>
#include <mutex>
#include <stdexcept>
#include <thread>
#include <vector>

#include "rseq_slice.hpp"
#include "rseq_slice/schedctl.h"

namespace {

int failures;

void expect(bool good, const char *what)
{
	if (!good) {
		failures++;
		std::fprintf(stderr, "# section-cpp: %s\n", what);
	}
}

bool at_rest()
{
	const volatile unsigned char *ctrl = rseq_slice_ctrl();
	return !ctrl || (!ctrl[0] && !ctrl[1]);
}

/* A request or a grant, or there is no extension. The kernel may have refused the request: try often. */
bool sometimes_open(void (*open)(), void (*close)())
{
	const volatile unsigned char *ctrl = rseq_slice_ctrl();
	for (int i = 0; i < 1000; i++) {
		open();
		const bool is_open = !ctrl || ctrl[0] || ctrl[1];
		close();
		if (is_open)
			return true;
	}
	return false;
}

/* Initialized before anything runs, as std::mutex is. */
#if __cplusplus >= 202002L
#define CONSTINIT constinit
#else
#define CONSTINIT
#endif
CONSTINIT rseq_slice::sliced<std::mutex> first, second;
long counter;

struct throws {
	void lock() { throw std::runtime_error("lock"); }
	bool try_lock() { throw std::runtime_error("try_lock"); }
	void unlock() {}
};

void count()
{
	for (int i = 0; i < 3000; i++) {
		std::lock(first, second);
		std::lock_guard<decltype(first)> a(first, std::adopt_lock);
		std::lock_guard<decltype(second)> b(second, std::adopt_lock);
		counter++;
	}
	expect(at_rest(), "a thread keeps a request");
}

void exclusion()
{
	std::vector<std::thread> threads;
	for (int i = 0; i < 4; i++)
		threads.emplace_back(count);
	for (std::thread &thread : threads)
		thread.join();
	expect(counter == 4 * 3000, "two threads held the lock at once");
#if __cplusplus >= 201703L
	std::scoped_lock both(first, second);
#endif
}

void waiting()
{
	std::condition_variable_any changed;
	bool ready = false;
	std::thread other([&] {
		std::lock_guard<decltype(first)> guard(first);
		ready = true;
		changed.notify_one();
	});
	{
		std::unique_lock<decltype(first)> guard(first);
		changed.wait(guard, [&] { return ready; });
	}
	other.join();
	expect(at_rest(), "a request is left of a wait");
}

void attempts()
{
	expect(sometimes_open([] { first.lock(); }, [] { first.unlock(); }), "a lock makes no request");
	first.inner().lock();
	expect(!first.try_lock(), "a held lock was taken");
	expect(at_rest(), "an attempt in vain leaves a request");
	first.inner().unlock();

	rseq_slice::sliced<throws> bad;
	try {
		bad.lock();
		expect(false, "no exception came");
	} catch (const std::runtime_error &) {
	}
	expect(at_rest(), "an exception of the lock leaves a request");
	try {
		rseq_slice::scope section;
		throw std::runtime_error("section");
	} catch (const std::runtime_error &) {
	}
	expect(at_rest(), "an exception leaves a request");
}

schedctl_t *self;

void schedctl()
{
	self = schedctl_init();
	expect(schedctl_lookup() == self && (self != nullptr) == (rseq_slice::support() == 0), "schedctl_init()");
	schedctl_start(nullptr);
	expect(at_rest(), "schedctl_start(NULL) makes a request");
	schedctl_stop(nullptr);
	expect(sometimes_open([] { schedctl_start(self); }, [] { schedctl_stop(self); }), "schedctl_start()");
	expect(at_rest(), "schedctl_stop()");
	expect(sometimes_open([] { schedctl_start(self), schedctl_start(self), schedctl_stop(self); },
			      [] { schedctl_stop(self); }),
	       "an inner schedctl_stop() ends the section");
	expect(at_rest(), "the outermost schedctl_stop()");
	expect(sometimes_open([] { schedctl_stop(self); schedctl_start(self); }, [] { schedctl_stop(self); }),
	       "a stop too many");
	rseq_slice_t around = rseq_slice_begin();
	schedctl_start(self);
	schedctl_stop(self);
	expect(!around.ctrl || at_rest() || around.ctrl[0] || around.ctrl[1], "schedctl inside a section");
	rseq_slice_end(around);
	expect(at_rest(), "a section around schedctl");
	schedctl_exit();
}

} /* namespace */

int main()
{
	errno = 1234;
	expect(at_rest() && errno == 1234, "errno changed in set-up");
	exclusion();
	waiting();
	attempts();
	schedctl();
	std::printf("# cause %d, area %d\n", rseq_slice::support(), rseq_slice_area());
	return failures != 0;
}
