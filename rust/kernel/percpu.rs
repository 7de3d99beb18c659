// SPDX-License-Identifier: GPL-2.0

//! Static per-CPU data.
//!
//! A [`PerCpu<T>`] declared with [`define_per_cpu!`](crate::define_per_cpu) has one `T` for every
//! possible CPU, which lives as long as the kernel. "This CPU's" `T` only makes sense while the
//! thread cannot move to another CPU, so [`PerCpu::this()`] wants a proof of that: a
//! [`preempt::Guard`] or a [`LocalInterruptDisabled`] token. What it hands out is an ordinary
//! shared reference: interrupts and, through [`PerCpu::on()`], other CPUs may hold one to the same
//! `T` at the same time, which is why `T` has to be [`Sync`].
//!
//! C header: [`include/linux/percpu.h`](srctree/include/linux/percpu.h)
//!
//! # Examples
//!
//! ```
//! use kernel::{
//!     define_per_cpu,
//!     preempt,
//!     sync::atomic::{Atomic, Relaxed}, //
//! };
//!
//! define_per_cpu! {
//!     /// How often something happened on each CPU.
//!     static EVENTS: Atomic<u64> = Atomic::new(0);
//! }
//!
//! let guard = preempt::Guard::new();
//! let events = EVENTS.this(&guard);
//!
//! events.store(events.load(Relaxed) + 1, Relaxed);
//! ```

use crate::{
    bindings,
    cpu::{nr_cpu_ids, CpuId},
    cpumask::Cpumask,
    ffi::c_ulong,
    interrupt::LocalInterruptDisabled,
    preempt,
    prelude::*,
    sync::atomic::{Atomic, AtomicType}, //
};
use core::{
    cell::UnsafeCell,
    mem::MaybeUninit, //
};

/// Evidence that the current thread stays on its CPU.
///
/// # Safety
///
/// While a value of an implementing type is borrowed, the thread that borrows it must not be able
/// to move to another CPU.
pub unsafe trait OnThisCpu {}

// SAFETY: A thread that has disabled preemption is not moved.
unsafe impl OnThisCpu for preempt::Guard {}

// SAFETY: A thread that has disabled interrupts is neither preempted nor moved. Where the token
// promises nothing, on a kernel that is not preemptible, only sleeping moves a thread, which
// whoever holds the token must not do.
unsafe impl OnThisCpu for LocalInterruptDisabled {}

/// A `T` for every possible CPU.
///
/// # Invariants
///
/// The value is a static in the section of per-CPU data, so that its address stands for one `T` on
/// every possible CPU. The static itself is a template that nobody reads after early boot.
#[repr(transparent)]
pub struct PerCpu<T>(UnsafeCell<MaybeUninit<T>>);

// SAFETY: Only shared references to a `T` are handed out, to any CPU.
unsafe impl<T: Sync> Sync for PerCpu<T> {}

// Only for atomics: not every type allows its bytes to be copied to all CPUs.
impl<A: AtomicType> PerCpu<Atomic<A>> {
    /// Makes per-CPU data of which each CPU starts with a copy of `value`.
    ///
    /// # Safety
    ///
    /// To be used by [`define_per_cpu!`](crate::define_per_cpu) only, which sees to the section.
    #[doc(hidden)]
    pub const unsafe fn new(value: Atomic<A>) -> Self {
        // INVARIANT: By the requirements of this function.
        Self(UnsafeCell::new(MaybeUninit::new(value)))
    }
}

impl<T> PerCpu<T> {
    /// Makes per-CPU data that [`PerCpu::init()`] still has to fill in.
    ///
    /// # Safety
    ///
    /// - To be used in [`define_per_cpu!`](crate::define_per_cpu) only.
    /// - [`PerCpu::init()`] must have returned before any other method is called.
    #[doc(hidden)]
    pub const unsafe fn uninit() -> Self {
        // INVARIANT: By the requirements of this function.
        Self(UnsafeCell::new(MaybeUninit::zeroed()))
    }

    /// Initializes the `T` of every possible CPU in place.
    ///
    /// # Safety
    ///
    /// `self` must have been made by [`PerCpu::uninit()`], this function must be called only once,
    /// and nothing else may use `self` before it returns.
    pub unsafe fn init<I: PinInit<T>>(&'static self, init: impl Fn(CpuId) -> I) {
        for cpu in possible_cpus() {
            // SAFETY:
            // - The slot is valid for writes, and nobody else uses it, by the requirements of this
            //   function.
            // - Per-CPU memory neither moves nor goes away.
            unsafe { pin_init::raw_init(self.slot(cpu), init(cpu)) };
        }
    }

    /// The `T` of the CPU that the caller runs on.
    #[inline]
    pub fn this(&'static self, _on_this_cpu: &impl OnThisCpu) -> Pin<&'static T>
    where
        T: Sync,
    {
        // SAFETY: By the type invariants `self` is the address of per-CPU data.
        let slot = unsafe { bindings::raw_cpu_ptr(self.0.get().cast()) }.cast::<T>();

        // SAFETY: Per-CPU memory neither moves nor goes away. The slot is initialized: by the
        // contents of its section, or by `init()` as `uninit()` requires.
        unsafe { Pin::new_unchecked(&*slot) }
    }

    /// The `T` of `cpu`, or `None` if that CPU is not possible.
    pub fn on(&'static self, cpu: CpuId) -> Option<Pin<&'static T>>
    where
        T: Sync,
    {
        if !is_possible(cpu) {
            return None;
        }

        // SAFETY: Per-CPU memory of a possible CPU neither moves nor goes away, and is initialized
        // as in `this()`.
        Some(unsafe { Pin::new_unchecked(&*self.slot(cpu)) })
    }

    /// The address of the `T` of `cpu`, which has to be a possible CPU.
    fn slot(&'static self, cpu: CpuId) -> *mut T {
        // SAFETY: By the type invariants `self` is the address of per-CPU data. A `CpuId` is below
        // `nr_cpu_ids`, so that there is an offset for it.
        unsafe { bindings::per_cpu_ptr(self.0.get().cast(), cpu.as_u32()) }.cast()
    }
}

/// Defines static per-CPU data.
///
/// Either an [`Atomic`] with a value that each CPU starts with, or
/// anything with `unsafe { uninit }`. The latter promises that
/// [`PerCpu::init()`](crate::percpu::PerCpu::init) returns before any other use.
///
/// See the [`percpu`](crate::percpu) module for an example.
#[macro_export]
macro_rules! define_per_cpu {
    ($(#[$attr:meta])* $vis:vis static $name:ident: $type:ty = unsafe { uninit };) => {
        $crate::define_per_cpu!(@ $(#[$attr])* $vis $name, $type,
            // SAFETY: The section is the one of per-CPU data. That `init()` comes first is promised
            // by whoever wrote `unsafe { uninit }`.
            unsafe { $crate::percpu::PerCpu::uninit() });
    };
    ($(#[$attr:meta])* $vis:vis static $name:ident: $type:ty = $value:expr;) => {
        $crate::define_per_cpu!(@ $(#[$attr])* $vis $name, $type, {
            let value = $value;

            // SAFETY: The section is the one of per-CPU data.
            unsafe { $crate::percpu::PerCpu::new(value) }
        });
    };
    (@ $(#[$attr:meta])* $vis:vis $name:ident, $type:ty, $init:expr) => {
        $(#[$attr])*
        #[cfg_attr(CONFIG_SMP, link_section = ".data..percpu")]
        $vis static $name: $crate::percpu::PerCpu<$type> = $init;
    };
}

/// Increments a per-CPU counter of C on the CPU that the caller runs on.
///
/// This is `this_cpu_inc()`: safe against preemption and interrupts, and a single instruction on
/// machines that have one.
///
/// # Safety
///
/// `counter` must be the address of an `unsigned long` in per-CPU data, not of the one of a CPU.
#[inline]
pub unsafe fn this_cpu_inc(counter: *mut c_ulong) {
    // SAFETY: By the requirements of this function.
    unsafe { bindings::this_cpu_inc_ulong(counter) };
}

/// All CPUs that there are, or can ever be.
fn possible_cpus() -> impl Iterator<Item = CpuId> {
    (0..nr_cpu_ids())
        .filter_map(CpuId::from_u32)
        .filter(|&cpu| is_possible(cpu))
}

fn is_possible(cpu: CpuId) -> bool {
    // SAFETY: The mask of possible CPUs lives forever and does not change after early boot.
    let mask = unsafe { Cpumask::from_raw(&raw const bindings::__cpu_possible_mask) };

    mask.test(cpu)
}

#[cfg(CONFIG_RUST_CPU_LOCAL_KUNIT_TEST)]
#[macros::kunit_tests(rust_percpu)]
mod tests {
    use super::*;
    use crate::sync::atomic::Relaxed;

    define_per_cpu! {
        static VALUE: Atomic<u64> = Atomic::new(42);
    }
    define_per_cpu! {
        // SAFETY: The test calls `init()` first.
        static NUMBER: Atomic<u32> = unsafe { uninit };
    }
    define_per_cpu! {
        static COUNTER: Atomic<usize> = Atomic::new(0);
    }

    /// Whether `NUMBER` is initialized: KUnit can run a test again.
    static READY: Atomic<bool> = Atomic::new(false);

    fn on<T: Sync>(data: &'static PerCpu<T>, cpu: CpuId) -> &'static T {
        data.on(cpu).expect("the CPU is possible").get_ref()
    }

    #[test]
    fn every_cpu_starts_with_a_copy_of_its_own() {
        for cpu in possible_cpus() {
            let value = on(&VALUE, cpu);
            assert_eq!(value.load(Relaxed), 42);
            value.store(43, Relaxed);
        }
        for cpu in possible_cpus() {
            on(&VALUE, cpu).store(42, Relaxed);
        }
    }

    #[test]
    fn this_is_the_slot_of_the_current_cpu() {
        let guard = preempt::Guard::new();
        let this = VALUE.this(&guard).get_ref();
        for cpu in possible_cpus() {
            let same = core::ptr::eq(this, on(&VALUE, cpu));
            assert_eq!(same, cpu == CpuId::current());
        }
        drop(guard);
    }

    #[test]
    fn init_fills_every_slot_in() {
        if !READY.load(Relaxed) {
            // SAFETY: The static is `uninit`, and this happens once, before its only use.
            unsafe { NUMBER.init(|cpu| Atomic::new(cpu.as_u32() + 1)) };
            READY.store(true, Relaxed);
        }
        for cpu in possible_cpus() {
            assert_eq!(on(&NUMBER, cpu).load(Relaxed), cpu.as_u32() + 1);
        }
    }

    #[test]
    fn counters_count_on_this_cpu_only() {
        let guard = preempt::Guard::new();
        let counter = core::ptr::from_ref(&COUNTER).cast_mut().cast();
        for cpu in possible_cpus() {
            on(&COUNTER, cpu).store(0, Relaxed);
        }
        // SAFETY: `COUNTER` is per-CPU data and has the layout of an `unsigned long`.
        unsafe { this_cpu_inc(counter) };
        for cpu in possible_cpus() {
            let expected = usize::from(cpu == CpuId::current());
            assert_eq!(on(&COUNTER, cpu).load(Relaxed), expected);
        }
        drop(guard);
    }
}
