// SPDX-License-Identifier: GPL-2.0

//! Time slice extensions: their state in the current thread, the way to user mode on which they are
//! granted, their counters and their settings.
//!
//! C headers: [`include/linux/rseq_types.h`](srctree/include/linux/rseq_types.h),
//! [`include/linux/rseq_slice.h`](srctree/include/linux/rseq_slice.h)
//!
//! # Examples
//!
//! The settings of the system:
//!
//! ```
//! use kernel::rseq::slice;
//!
//! if slice::extension_enabled() {
//!     let kind = if slice::ext_lazy_only() { "lazy" } else { "all" };
//!
//!     pr_info!("{} reschedules, {} ns\n", kind, slice::ext_nsecs());
//! }
//! # assert!((5_000..=50_000).contains(&slice::ext_nsecs()));
//! # assert!(!slice::is_yield(-1));
//! ```

use super::{
    as_atomic,
    CurrentRseq, //
};
use crate::{
    bindings,
    ffi::{
        c_long,
        c_ulong, //
    },
    interrupt::LocalInterruptDisabled,
    jump_label::{
        static_branch_likely,
        static_branch_unlikely, //
    },
    sync::atomic::{
        atomic_load,
        atomic_store,
        Relaxed, //
    },
    time::{
        ClockSource,
        Instant,
        Monotonic, //
    },
    types::NotThreadSafe, //
};
use core::{
    ops::Deref,
    pin::Pin,
    ptr, //
};

/// Permission to change the state of slice extensions. Only their implementation has it.
///
/// The state says when a grant ends, and a grant keeps other threads from the CPU. So other code
/// cannot change it without `unsafe`.
#[derive(Clone, Copy)]
pub struct SliceOwner(());

impl SliceOwner {
    /// Claims the permission.
    ///
    /// # Safety
    ///
    /// Only the implementation of slice extensions may store anything with it, and each grant that
    /// it stores must end in bounded time.
    #[inline]
    pub const unsafe fn claim() -> Self {
        Self(())
    }
}

/// The current thread with the state of its slice extension, to which the [`SliceOwner`] gives a
/// meaning.
///
/// # Examples
///
/// ```
/// use kernel::rseq::slice::{
///     CurrentSlice,
///     SliceOwner, //
/// };
///
/// // SAFETY: Nothing is stored.
/// let slice = CurrentSlice::get(unsafe { SliceOwner::claim() });
///
/// // A kernel thread has no control word to ask for a grant in.
/// assert!(!slice.has_slice_ctrl());
/// assert_eq!(slice.slice_enabled(), 0);
/// assert_eq!(slice.slice_granted(), 0);
/// ```
pub struct CurrentSlice(CurrentRseq, SliceOwner);

impl Deref for CurrentSlice {
    type Target = CurrentRseq;

    #[inline]
    fn deref(&self) -> &CurrentRseq {
        &self.0
    }
}

/// A relaxed store to a field as the type `$ty`.
macro_rules! store {
    ($self:expr, $ty:ty, $value:expr, $($field:tt)+) => {{
        let field = as_atomic::<_, $ty>(field!($self, $($field)+));

        // SAFETY: The task is valid by the type invariants. Others access the field in interrupts
        // on its CPU, by single loads and stores, or in the scheduler while the task does not run.
        unsafe { atomic_store(field, $value, Relaxed) }
    }};
}

impl CurrentSlice {
    /// Wraps the `current` that C passes.
    ///
    /// # Safety
    ///
    /// `curr` must be `current`. The safety requirements of [`SliceOwner::claim()`] apply.
    #[inline]
    pub unsafe fn from_raw(curr: *mut bindings::task_struct) -> Self {
        // SAFETY: `curr` is `current` by the safety requirements.
        let rseq = unsafe { CurrentRseq::from_raw(curr) };
        // SAFETY: The safety requirements include those of `claim()`.
        let owner = unsafe { SliceOwner::claim() };

        Self(rseq, owner)
    }

    /// Gets `current`.
    #[inline]
    pub fn get(owner: SliceOwner) -> Self {
        Self(CurrentRseq::get(), owner)
    }

    /// The permission to change the state.
    #[inline]
    pub fn owner(&self) -> SliceOwner {
        self.1
    }

    /// Loads `rseq_slice_state::enabled`.
    #[inline]
    pub fn slice_enabled(&self) -> u8 {
        // CAST: The field is a `u8`, which has no atomic type.
        load!(self.0, i8, rseq.slice.state.__bindgen_anon_1.enabled) as u8
    }

    /// Stores `rseq_slice_state::enabled`.
    #[inline]
    pub fn set_slice_enabled(&self, enabled: u8) {
        // CAST: The field is a `u8`, which has no atomic type.
        store!(
            self.0,
            i8,
            enabled as i8,
            rseq.slice.state.__bindgen_anon_1.enabled
        );
    }

    /// Loads `rseq_slice_state::granted`.
    #[inline]
    pub fn slice_granted(&self) -> u8 {
        // CAST: The field is a `u8`, which has no atomic type.
        load!(self.0, i8, rseq.slice.state.__bindgen_anon_1.granted) as u8
    }

    /// Stores `rseq_slice_state::granted`.
    #[inline]
    pub fn set_slice_granted(&self, granted: u8) {
        // CAST: The field is a `u8`, which has no atomic type.
        store!(
            self.0,
            i8,
            granted as i8,
            rseq.slice.state.__bindgen_anon_1.granted
        );
    }

    /// Loads `rseq_slice::switches`.
    #[inline]
    pub fn slice_switches(&self) -> c_ulong {
        load!(self.0, usize, rseq.slice.switches)
    }

    /// Stores `rseq_slice::switches`.
    #[inline]
    pub fn set_slice_switches(&self, switches: c_ulong) {
        store!(self.0, usize, switches, rseq.slice.switches);
    }

    /// Whether `rseq_slice::timer` is the address of `timer`.
    #[inline]
    pub fn slice_timer_is<T>(&self, timer: Pin<&T>) -> bool {
        ptr::eq(load!(self.0, *const T, rseq.slice.timer), timer.get_ref())
    }

    /// Stores the address of a timer, or null, to `rseq_slice::timer`.
    #[inline]
    pub fn set_slice_timer<T>(&self, timer: Option<Pin<&'static T>>) {
        let timer = timer.map_or(ptr::null(), |timer| ptr::from_ref(timer.get_ref()));

        store!(self.0, *const T, timer, rseq.slice.timer);
    }

    /// Loads `rseq_slice::yielded`.
    #[inline]
    pub fn slice_yielded(&self) -> u8 {
        // CAST: The field is a `u8`, which has no atomic type.
        load!(self.0, i8, rseq.slice.yielded) as u8
    }

    /// Stores `rseq_slice::yielded`.
    #[inline]
    pub fn set_slice_yielded(&self, yielded: u8) {
        // CAST: The field is a `u8`, which has no atomic type.
        store!(self.0, i8, yielded as i8, rseq.slice.yielded);
    }

    /// Stores `rseq_slice::begin`, which only tracepoints read. Without `CONFIG_TRACEPOINTS` this
    /// does nothing.
    #[inline]
    pub fn set_slice_begin<C>(&self, _begin: Instant<C>)
    where
        C: ClockSource,
    {
        #[cfg(CONFIG_TRACEPOINTS)]
        // CAST: The field is a `u64`, which has no atomic type.
        store!(self.0, i64, _begin.as_nanos(), rseq.slice.begin);
    }

    /// Makes the next system call of the thread call `rseq_syscall_enter_work()` first.
    #[inline]
    pub fn set_syscall_work(&self) {
        let work = field!(self.0, thread_info.syscall_work);

        // SAFETY: `work` belongs to a valid task. The bit operation is atomic.
        unsafe { bindings::set_bit(SLICE_WORK, work) };
    }

    /// Undoes [`CurrentSlice::set_syscall_work()`].
    #[inline]
    pub fn clear_syscall_work(&self) {
        let work = field!(self.0, thread_info.syscall_work);

        // SAFETY: `work` belongs to a valid task. The bit operation is atomic.
        unsafe { bindings::clear_bit(SLICE_WORK, work) };
    }
}

/// The work flag of a reschedule that is not lazy: `_TIF_NEED_RESCHED`.
pub const NEED_RESCHED: c_ulong = 1 << bindings::TIF_NEED_RESCHED;

// CAST: A bit number is small.
const SLICE_WORK: usize = bindings::syscall_work_bit_SYSCALL_WORK_BIT_SYSCALL_RSEQ_SLICE as usize;

/// Evidence that the current thread is in the exit loop, the last part of its way to user mode, and
/// the work flags that it found there.
///
/// Modules cannot use it: the C functions that its methods call are not exported.
///
/// # Invariants
///
/// - The current thread is in the exit loop, and `work` are the work flags that it read there.
/// - A reschedule that is postponed with the value happens in bounded time.
///
/// # Examples
///
/// Both functions want the proof of a section with interrupts disabled:
///
/// ```
/// use kernel::{
///     interrupt::LocalInterruptEnabled,
///     rseq::slice::ExitToUser, //
/// };
///
/// fn postpone(exit: &ExitToUser, irqs: &mut LocalInterruptEnabled) -> bool {
///     irqs.with_disabled(|irq| {
///         let postponed = exit.postpone_resched(false, irq);
///
///         exit.rearm_deferred(irq);
///         postponed
///     })
/// }
/// # let _ = postpone;
/// ```
pub struct ExitToUser {
    work: c_ulong,
    _not_send: NotThreadSafe,
}

impl ExitToUser {
    /// Assumes that the current thread is in the exit loop.
    ///
    /// # Safety
    ///
    /// - The current thread must be in the exit loop as long as the value exists, and `work` must
    ///   be the work flags that it read there.
    /// - A reschedule that is postponed with the value must happen in bounded time.
    #[inline]
    pub unsafe fn assume(work: c_ulong) -> Self {
        // INVARIANT: The thread is in the exit loop with this work, and reschedules that are
        // postponed happen in bounded time, by the safety requirements.
        Self {
            work,
            _not_send: NotThreadSafe,
        }
    }

    /// The work flags.
    #[inline]
    pub fn work(&self) -> c_ulong {
        self.work
    }

    /// Withdraws the reschedule that is due, or with `lazy_only` a lazy one. Returns false if this
    /// CPU must not postpone it; `rseq_slice_postpone_resched()` has the reasons.
    ///
    /// One that another CPU requests at the same time may be withdrawn too. `need_resched` is kept
    /// in two places, and an interrupt that reschedules must not see one without the other. So
    /// interrupts are disabled.
    #[inline]
    pub fn postpone_resched(&self, lazy_only: bool, _irq: &LocalInterruptDisabled) -> bool {
        // SAFETY: The thread is in the exit loop by the type invariants, and C disables interrupts
        // for the token with every preemption model.
        unsafe { bindings::rseq_slice_postpone_resched(lazy_only) }
    }

    /// Postpones the end of the time slice to `until`, the end of a grant, if the scheduler's timer
    /// would find it earlier. For grants that may postpone any reschedule;
    /// `rseq_slice_postpone_hrtick()` has the reason.
    #[inline]
    pub fn postpone_hrtick(&self, until: Instant<Monotonic>, _irq: &LocalInterruptDisabled) {
        // SAFETY: The thread is in the exit loop by the type invariants, and C disables interrupts
        // for the token with every preemption model.
        unsafe { bindings::rseq_slice_postpone_hrtick(until.as_nanos()) };
    }

    /// Programs the clock event device if the interrupt that is being left has deferred that.
    ///
    /// Timers that were started before this call cost no programming of their own. Interrupts are
    /// disabled because programming the device takes a lock that interrupts take. With interrupts
    /// enabled, as once in the C implementation, the CPU locks up (fixed there by ada54c2ba652).
    #[inline]
    pub fn rearm_deferred(&self, _irq: &LocalInterruptDisabled) {
        // SAFETY: The thread is in the exit loop by the type invariants, and C disables interrupts
        // for the token with every preemption model.
        unsafe { bindings::rseq_slice_rearm_deferred(self.work) };
    }
}

/// A counter of rseq's statistics in debugfs.
///
/// # Examples
///
/// ```
/// use kernel::rseq::slice::SliceStat;
///
/// fn note_expiry() {
///     SliceStat::Expired.inc();
/// }
/// # let _ = note_expiry;
/// ```
#[derive(Clone, Copy)]
pub enum SliceStat {
    /// `rseq_stats::s_granted`.
    Granted,
    /// `rseq_stats::s_expired`.
    Expired,
    /// `rseq_stats::s_revoked`.
    Revoked,
    /// `rseq_stats::s_yielded`.
    Yielded,
    /// `rseq_stats::s_aborted`.
    Aborted,
    /// `rseq_stats::s_died`.
    Died,
}

impl SliceStat {
    /// Increments the counter of this CPU. Does nothing without `CONFIG_RSEQ_STATS`.
    #[inline]
    pub fn inc(self) {
        #[cfg(CONFIG_RSEQ_STATS)]
        {
            use bindings::rseq_stats;
            use core::mem::offset_of;

            let offset = match self {
                Self::Granted => offset_of!(rseq_stats, s_granted),
                Self::Expired => offset_of!(rseq_stats, s_expired),
                Self::Revoked => offset_of!(rseq_stats, s_revoked),
                Self::Yielded => offset_of!(rseq_stats, s_yielded),
                Self::Aborted => offset_of!(rseq_stats, s_aborted),
                Self::Died => offset_of!(rseq_stats, s_died),
            };
            let counter = (&raw mut bindings::rseq_stats).wrapping_byte_add(offset);

            // SAFETY: `rseq_stats` is per-CPU data, and at the offset is an `unsigned long`.
            unsafe { bindings::this_cpu_inc_ulong(counter.cast()) };
        }
    }
}

/// Whether slice extensions are available: `rseq_slice_ext=` on the kernel command line.
#[inline]
pub fn extension_enabled() -> bool {
    static_branch_likely!(rseq_slice_extension_key)
}

/// Whether only lazy reschedules may be postponed: on `PREEMPT_RT`, or by the policy that
/// `rseq_slice_ext=lazy` sets.
#[inline]
pub fn ext_lazy_only() -> bool {
    cfg!(CONFIG_PREEMPT_RT) || static_branch_unlikely!(rseq_slice_lazy_key)
}

/// The length of a slice extension in nanoseconds, from 5,000 to 50,000.
#[inline]
pub fn ext_nsecs() -> u32 {
    // SAFETY: The variable is valid, and all stores to it are atomic.
    unsafe { atomic_load(&raw mut bindings::rseq_slice_ext_nsecs, Relaxed) }
}

/// Whether `syscall`, as the entry code passes it, is `rseq_slice_yield(2)`.
#[inline]
pub fn is_yield(syscall: c_long) -> bool {
    // x32 has the numbers of x86-64, and bit 30 on top.
    // CAST: Bit 30 is the highest.
    #[cfg(CONFIG_X86_X32_ABI)]
    let syscall = syscall & !(bindings::__X32_SYSCALL_BIT as c_long);

    // CAST: A system call number is small.
    syscall == bindings::__NR_rseq_slice_yield as c_long
}
