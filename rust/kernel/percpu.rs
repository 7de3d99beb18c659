// SPDX-License-Identifier: GPL-2.0

//! Static per-CPU data.
//!
//! [`define_per_cpu!`](crate::define_per_cpu) defines one `T` for every possible CPU, which lives
//! as long as the kernel. [`PerCpu::this_cpu()`] returns a shared reference: interrupts and other
//! CPUs may hold one to the same `T` at the same time, so `T` has to be [`Sync`], and nothing
//! depends on the caller staying on its CPU.
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
//!         Full,
//!         Relaxed, //
//!     }, //
//! };
//!
//! define_per_cpu!(
//!     /// How often something happened on each CPU.
//!     EVENTS: MaybeUninit<Atomic<u64>> = MaybeUninit::uninit()
//! );
//!
//! # // KUnit can run a test again.
//! # static READY: Atomic<bool> = Atomic::new(false);
//! # if !READY.xchg(true, Full) {
//! // SAFETY: This is the only call, and nothing has used `EVENTS` before.
//! unsafe { EVENTS.init(|| Atomic::new(0)) };
//! # }
//! // SAFETY: `init()` has returned.
//! let events = unsafe { EVENTS.assume_init() };
//!
//! let guard = CpuGuard::new();
//! let before = events.this_cpu().load(Relaxed);
//! events.this_cpu().store(before + 1, Relaxed);
//! assert_eq!(events.this_cpu().load(Relaxed), before + 1);
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
    mem::MaybeUninit,
    ops::Deref, //
};

/// Disables preemption: the thread that holds a guard stays on its CPU until it drops the guard. A
/// reschedule that becomes due in the meantime may happen then.
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

/// The static behind per-CPU data. It stands for a `T` on every possible CPU.
///
/// # Invariants
///
/// - With `CONFIG_SMP` the static is in the section of per-CPU data, and only its address is used:
///   nobody reads it after early boot. Without, it is the data of the only CPU.
/// - It is built in, so that the data lives as long as the kernel.
#[repr(transparent)]
pub struct StaticPerCpu<T>(UnsafeCell<T>);

// SAFETY: The static itself gives no access to a `T`.
unsafe impl<T: Sync> Sync for StaticPerCpu<T> {}

// Only for `MaybeUninit`: not every type allows that its bytes are copied to all CPUs.
impl<T> StaticPerCpu<MaybeUninit<T>> {
    /// Makes per-CPU data of which each CPU starts with a copy of `value`.
    ///
    /// # Safety
    ///
    /// To be used by [`define_per_cpu!`](crate::define_per_cpu) only, which upholds the type
    /// invariants.
    #[doc(hidden)]
    pub const unsafe fn new(value: MaybeUninit<T>) -> Self {
        // INVARIANT: The macro places the static in its section, and refuses modules.
        Self(UnsafeCell::new(value))
    }

    /// Initializes the `T` of every possible CPU in place.
    ///
    /// # Safety
    ///
    /// To be called once.
    pub unsafe fn init<I: PinInit<T>>(&'static self, init: impl Fn() -> I) {
        for cpu in possible_cpus() {
            // SAFETY: The slot is valid for writes. Access to it is only by what `assume_init()`
            // returns, which nobody has called yet by its safety requirements. Per-CPU memory
            // neither moves nor goes away.
            unsafe { pin_init::raw_init(slot(self.0.get().cast::<T>(), cpu), init()) };
        }
    }

    /// The data, which is initialized.
    ///
    /// # Safety
    ///
    /// [`StaticPerCpu::init()`] must have returned.
    #[inline]
    pub unsafe fn assume_init(&'static self) -> PerCpu<T> {
        // INVARIANT: This is the address of a `StaticPerCpu`, whose `T`s are initialized by the
        // safety requirements.
        PerCpu(self.0.get().cast())
    }
}

/// Per-CPU data that is initialized.
///
/// # Invariants
///
/// The pointer is the address of a [`StaticPerCpu`] whose `T`s are initialized.
pub struct PerCpu<T: 'static>(*mut T);

impl<T> Clone for PerCpu<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for PerCpu<T> {}

impl<T: Sync> PerCpu<T> {
    /// The `T` of the CPU that runs the call. Unless preemption is disabled, the caller may migrate
    /// to another CPU before it uses the `T`.
    #[inline]
    pub fn this_cpu(self) -> PerCpuRef<T> {
        // SAFETY: By the type invariants the pointer is the address of per-CPU data.
        let slot = unsafe { bindings::raw_cpu_ptr(self.0.cast()) }.cast::<T>();

        // SAFETY: Per-CPU memory does not go away, and by the type invariants the slot is
        // initialized.
        // INVARIANT: It is the slot of a `StaticPerCpu`.
        PerCpuRef(unsafe { &*slot })
    }
}

/// One CPU's `T` of per-CPU data.
///
/// # Invariants
///
/// The reference is to a slot of a [`StaticPerCpu`]. So the `T` neither moves nor goes away, also
/// when the value is dropped.
pub struct PerCpuRef<T: 'static>(&'static T);

impl<T> PerCpuRef<T> {
    /// The `T`, for as long as the kernel runs.
    #[inline]
    pub fn get(&self) -> Pin<&'static T> {
        Pin::static_ref(self.0)
    }
}

impl<T> Deref for PerCpuRef<T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        self.0
    }
}

/// Defines static per-CPU data.
///
/// In a module this does not compile: a module's per-CPU data goes away with it.
///
/// See the [`percpu`](crate::percpu) module for an example.
#[macro_export]
macro_rules! define_per_cpu {
    ($(#[$attr:meta])* $vis:vis $name:ident: $type:ty = $value:expr) => {
        $(#[$attr])*
        #[cfg_attr(CONFIG_SMP, link_section = ".data..percpu")]
        $vis static $name: $crate::percpu::StaticPerCpu<$type> = {
            const { ::core::assert!(!::core::cfg!(MODULE), "not for modules") };

            let value: $type = $value;

            // SAFETY: The static is in the section of per-CPU data, and is built in.
            unsafe { $crate::percpu::StaticPerCpu::new(value) }
        };
    };
}

/// The address of the `T` of `cpu`, a possible CPU, of per-CPU data at `address`.
fn slot<T>(address: *mut T, cpu: CpuId) -> *mut T {
    // SAFETY: The arithmetic is on addresses, and a `CpuId` is below `nr_cpu_ids`, so that there is
    // an offset for it.
    unsafe { bindings::per_cpu_ptr(address.cast(), cpu.as_u32()) }.cast()
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

    fn numbers() -> PerCpu<Atomic<usize>> {
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
        unsafe { &*slot(numbers().0, cpu) }
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
        let this = numbers().this_cpu().get().get_ref();
        for cpu in possible_cpus() {
            let same = core::ptr::eq(this, on(cpu));
            assert_eq!(same, cpu == CpuId::current());
        }
        drop(guard);
    }
}
