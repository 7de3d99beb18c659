// SPDX-License-Identifier: GPL-2.0

//! Static per-CPU data.
//!
//! A [`StaticPerCpu<T>`] declared with [`define_per_cpu!`](crate::define_per_cpu) has one `T` for
//! every possible CPU, which lives as long as the kernel. What [`StaticPerCpu::this_cpu()`] returns
//! is an ordinary shared reference: interrupts and other CPUs may hold one to the same `T` at the
//! same time, so `T` has to be [`Sync`], and nothing depends on the caller staying on its CPU.
//!
//! C header: [`include/linux/percpu.h`](srctree/include/linux/percpu.h)
//!
//! # Examples
//!
//! ```
//! use core::mem::MaybeUninit;
//! use kernel::{
//!     define_per_cpu,
//!     percpu::CpuGuard,
//!     sync::atomic::{
//!         Atomic,
//!         Relaxed, //
//!     }, //
//! };
//!
//! define_per_cpu!(
//!     /// How often something happened on each CPU.
//!     EVENTS: MaybeUninit<Atomic<u64>> = MaybeUninit::uninit()
//! );
//!
//! // SAFETY: This is the first use, and there is one only.
//! unsafe { EVENTS.init(|| Atomic::new(0)) };
//! // SAFETY: Initialized by the line above.
//! let events = unsafe { EVENTS.assume_init() };
//!
//! let guard = CpuGuard::new();
//! let count = events.this_cpu();
//! count.store(count.load(Relaxed) + 1, Relaxed);
//! assert_eq!(events.this_cpu().load(Relaxed), 1);
//! drop(guard);
//! ```

use crate::{
    bindings,
    cpu::{
        nr_cpu_ids,
        CpuId, //
    },
    cpumask::Cpumask,
    prelude::*,
    types::NotThreadSafe, //
};
use core::{
    cell::UnsafeCell,
    mem::MaybeUninit, //
};

/// Disables preemption: the thread that holds a guard stays on its CPU until it drops the guard. If
/// a reschedule becomes due in the meantime, it happens then.
///
/// # Invariants
///
/// Preemption is disabled while instances of this guard exist.
///
/// # Examples
///
/// ```
/// use kernel::{
///     cpu::CpuId,
///     percpu::CpuGuard, //
/// };
///
/// let guard = CpuGuard::new();
/// let cpu = CpuId::current();
///
/// assert_eq!(cpu, CpuId::current());
/// drop(guard);
/// ```
#[must_use = "preemption is enabled again when the guard is dropped"]
pub struct CpuGuard(NotThreadSafe);

impl CpuGuard {
    /// Disables preemption.
    #[inline]
    #[expect(clippy::new_without_default, reason = "a guard is not a value")]
    pub fn new() -> Self {
        // SAFETY: Disabling preemption has no preconditions.
        unsafe { bindings::preempt_disable() };

        // INVARIANT: Preemption was just disabled, and only `drop()` enables it again.
        Self(NotThreadSafe)
    }
}

impl Drop for CpuGuard {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: By the type invariants this pairs with the `preempt_disable()` in `new()`.
        unsafe { bindings::preempt_enable() };
    }
}

/// A `T` for every possible CPU.
///
/// # Invariants
///
/// The value is a static in the section of per-CPU data, so that its address stands for one `T` on
/// every possible CPU. The static itself is a template that nobody reads after early boot.
#[repr(transparent)]
pub struct StaticPerCpu<T>(UnsafeCell<T>);

// SAFETY: Only shared references to a `T` are handed out, to any CPU.
unsafe impl<T: Sync> Sync for StaticPerCpu<T> {}

// Only for `MaybeUninit`: not every type allows that its bytes are copied to all CPUs.
impl<T> StaticPerCpu<MaybeUninit<T>> {
    /// Makes per-CPU data of which each CPU starts with a copy of `value`.
    ///
    /// # Safety
    ///
    /// To be used by [`define_per_cpu!`](crate::define_per_cpu) only, which places the static in
    /// its section.
    #[doc(hidden)]
    pub const unsafe fn new(value: MaybeUninit<T>) -> Self {
        // INVARIANT: The static is in the section of per-CPU data by the safety requirements.
        Self(UnsafeCell::new(value))
    }

    /// Initializes the `T` of every possible CPU in place.
    ///
    /// # Safety
    ///
    /// To be called once. Nothing may use what [`StaticPerCpu::assume_init()`] returns before this
    /// function has returned.
    pub unsafe fn init<I: PinInit<T>>(&'static self, init: impl Fn() -> I) {
        for cpu in possible_cpus() {
            // SAFETY: The slot is valid for writes, and nothing else uses it, by the safety
            // requirements. Per-CPU memory neither moves nor goes away.
            unsafe { pin_init::raw_init(self.slot(cpu).cast::<T>(), init()) };
        }
    }

    /// The data, which is initialized.
    ///
    /// # Safety
    ///
    /// [`StaticPerCpu::init()`] must have returned before the result is used.
    #[inline]
    pub const unsafe fn assume_init(&'static self) -> &'static StaticPerCpu<T> {
        // SAFETY: `MaybeUninit` and `StaticPerCpu` are transparent. The `T`s are initialized when
        // the result is used, by the safety requirements.
        unsafe { &*(&raw const *self).cast() }
    }
}

impl<T> StaticPerCpu<T> {
    /// The `T` of the CPU that runs the call. By the time it is used this may be another CPU's,
    /// unless the caller cannot be moved.
    #[inline]
    pub fn this_cpu(&'static self) -> Pin<&'static T>
    where
        T: Sync,
    {
        // SAFETY: By the type invariants `self` is the address of per-CPU data.
        let slot = unsafe { bindings::raw_cpu_ptr(self.0.get().cast()) }.cast::<T>();

        // SAFETY: Per-CPU memory neither moves nor goes away, and the slot is initialized: it has
        // the value of its static, or `assume_init()` was called.
        unsafe { Pin::new_unchecked(&*slot) }
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
/// See the [`percpu`](crate::percpu) module for an example.
#[macro_export]
macro_rules! define_per_cpu {
    ($(#[$attr:meta])* $vis:vis $name:ident: $type:ty = $value:expr) => {
        $(#[$attr])*
        #[cfg_attr(CONFIG_SMP, link_section = ".data..percpu")]
        $vis static $name: $crate::percpu::StaticPerCpu<$type> = {
            let value: $type = $value;

            // SAFETY: The static is in the section of per-CPU data.
            unsafe { $crate::percpu::StaticPerCpu::new(value) }
        };
    };
}

/// All CPUs that exist or can ever exist.
fn possible_cpus() -> impl Iterator<Item = CpuId> {
    // SAFETY: The mask of possible CPUs lives forever and does not change after early boot.
    let mask = unsafe { Cpumask::from_raw(&raw const bindings::__cpu_possible_mask) };

    (0..nr_cpu_ids())
        .filter_map(CpuId::from_u32)
        .filter(|&cpu| mask.test(cpu))
}

#[cfg(CONFIG_RUST_PERCPU_KUNIT_TEST)]
#[macros::kunit_tests(rust_percpu)]
mod tests {
    use super::*;
    use crate::sync::atomic::{
        Atomic,
        Relaxed, //
    };

    define_per_cpu!(NUMBERS: MaybeUninit<Atomic<usize>> = MaybeUninit::uninit());

    /// Whether `NUMBERS` is initialized: KUnit can run a test again.
    static READY: Atomic<bool> = Atomic::new(false);

    fn numbers() -> &'static StaticPerCpu<Atomic<usize>> {
        if !READY.load(Relaxed) {
            // SAFETY: This happens once, before the only use.
            unsafe { NUMBERS.init(|| Atomic::new(42)) };
            READY.store(true, Relaxed);
        }
        // SAFETY: `init()` has returned.
        unsafe { NUMBERS.assume_init() }
    }

    fn on(cpu: CpuId) -> &'static Atomic<usize> {
        // SAFETY: The slot is initialized and never goes away.
        unsafe { &*numbers().slot(cpu) }
    }

    #[test]
    fn every_cpu_has_its_own_value() {
        for cpu in possible_cpus() {
            assert_eq!(on(cpu).load(Relaxed), 42);
            on(cpu).store(43, Relaxed);
        }
        for cpu in possible_cpus() {
            assert_eq!(on(cpu).load(Relaxed), 43);
            on(cpu).store(42, Relaxed);
        }
    }

    #[test]
    fn this_cpu_is_the_slot_of_the_current_cpu() {
        let guard = CpuGuard::new();
        let this = numbers().this_cpu().get_ref();
        for cpu in possible_cpus() {
            let same = core::ptr::eq(this, on(cpu));
            assert_eq!(same, cpu == CpuId::current());
        }
        drop(guard);
    }
}
