// SPDX-License-Identifier: GPL-2.0

//! Restartable sequences: what rseq keeps of the current thread.
//!
//! C headers: [`include/linux/rseq_types.h`](srctree/include/linux/rseq_types.h),
//! [`include/linux/rseq_entry.h`](srctree/include/linux/rseq_entry.h)

use crate::{
    bindings,
    ffi::c_ulong,
    jump_label,
    sync::atomic::{
        atomic_load,
        Relaxed, //
    },
    types::NotThreadSafe,
    uaccess::UserPtr,
    uapi, //
};
use core::{
    mem::offset_of,
    ptr::NonNull, //
};

/// The address of a field of the thread's `task_struct`.
macro_rules! field {
    ($self:expr, $($field:tt)+) => {
        // SAFETY: The task is valid by the type invariants. This computes an address only.
        unsafe { &raw mut (*$self.0.as_ptr()).$($field)+ }
    };
}

/// Casts a pointer to a field whose type is not an [`AtomicType`] to one of the same size.
///
/// [`AtomicType`]: crate::sync::atomic::AtomicType
#[inline]
const fn as_atomic<F, T>(field: *mut F) -> *mut T {
    const { assert!(size_of::<F>() == size_of::<T>() && align_of::<F>() == align_of::<T>()) };

    field.cast()
}

/// A relaxed load of a field as the type `$ty`.
macro_rules! load {
    ($self:expr, $ty:ty, $($field:tt)+) => {{
        let field = as_atomic::<_, $ty>(field!($self, $($field)+));

        // SAFETY: The task is valid by the type invariants. Others store to the field in interrupts
        // on its CPU, by single stores, or in the scheduler while the task does not run.
        unsafe { atomic_load(field, Relaxed) }
    }};
}

pub mod slice;
pub mod trace;

/// The thread that runs on this CPU, or that an interrupt on this CPU interrupted, as rseq sees it:
/// `task_struct::rseq` and the flags by which rseq gets work done.
///
/// The fields belong to the thread. Interrupts on its CPU read and write them, and the scheduler
/// writes the events, so each access here is a relaxed atomic one.
///
/// # Invariants
///
/// The pointer is `current`.
///
/// # Examples
///
/// ```
/// use kernel::rseq::CurrentRseq;
///
/// // A kernel thread has no user space to register a `struct rseq` in.
/// let rseq = CurrentRseq::get();
///
/// assert!(!rseq.is_registered());
/// assert!(!rseq.has_slice_ctrl());
/// ```
pub struct CurrentRseq(NonNull<bindings::task_struct>, NotThreadSafe);

impl CurrentRseq {
    /// Wraps the `current` that C passes.
    ///
    /// # Safety
    ///
    /// `curr` must be `current`.
    #[inline]
    pub unsafe fn from_raw(curr: *mut bindings::task_struct) -> Self {
        // SAFETY: `current` is never null, and `curr` is `current` by the safety requirements.
        let curr = unsafe { NonNull::new_unchecked(curr) };

        // INVARIANT: `curr` is `current` by the safety requirements.
        Self(curr, NotThreadSafe)
    }

    /// Gets `current`.
    #[inline]
    pub fn get() -> Self {
        // SAFETY: `get_current()` returns `current` and has no preconditions.
        unsafe { Self::from_raw(bindings::get_current()) }
    }

    /// Whether the thread registered a `struct rseq`.
    #[inline]
    pub fn is_registered(&self) -> bool {
        !load!(self, *mut bindings::rseq, rseq.usrptr).is_null()
    }

    /// Whether the registered `struct rseq` is long enough to have a control word of slice
    /// extensions.
    #[inline]
    pub fn has_slice_ctrl(&self) -> bool {
        load!(
            self,
            i8,
            rseq.event.__bindgen_anon_1.__bindgen_anon_1.has_rseq
        ) > 1
    }

    /// The flags in user space.
    ///
    /// If [`CurrentRseq::is_registered()`] does not hold, this is an address near zero, where the
    /// thread usually has no memory.
    #[inline]
    pub fn flags(&self) -> UserPtr {
        self.user_field(offset_of!(uapi::rseq, flags))
    }

    /// The control word of slice extensions in user space.
    ///
    /// If [`CurrentRseq::has_slice_ctrl()`] does not hold, this is some other address. Access to it
    /// is as any access to user memory.
    #[inline]
    pub fn slice_ctrl(&self) -> UserPtr {
        self.user_field(offset_of!(uapi::rseq, slice_ctrl))
    }

    #[inline]
    fn user_field(&self, offset: usize) -> UserPtr {
        UserPtr::from_ptr(load!(self, *mut bindings::rseq, rseq.usrptr).cast())
            .wrapping_byte_add(offset)
    }

    /// Whether `rseq_event::sched_switch` is set: an update of user space is due, in most cases
    /// because the thread was scheduled out.
    #[inline]
    pub fn sched_switch(&self) -> bool {
        load!(
            self,
            i8,
            rseq.event
                .__bindgen_anon_1
                .__bindgen_anon_1
                .__bindgen_anon_1
                .__bindgen_anon_1
                .sched_switch
        ) != 0
    }

    /// How often the thread was scheduled out.
    #[inline]
    pub fn switches(&self) -> c_ulong {
        load!(self, usize, nvcsw).wrapping_add(load!(self, usize, nivcsw))
    }

    /// Makes the thread enter the exit loop on its way to user mode.
    ///
    /// `TIF_RSEQ` is read there only. It does not lead to an update of user space unless
    /// `rseq_event::sched_switch` is set as well.
    #[inline]
    pub fn raise_work(&self) {
        let flags = field!(self, thread_info.flags);

        // CAST: A bit number is small.
        // SAFETY: `flags` belongs to a valid task. The bit operation is atomic.
        unsafe { bindings::set_bit(bindings::TIF_RSEQ as usize, flags) };
    }

    /// Sends the thread a `SIGSEGV` that it can neither block nor ignore.
    ///
    /// For task context only: with `PREEMPT_RT` this takes a lock that sleeps.
    #[inline]
    pub fn force_sigsegv(&self) {
        // CAST: A signal number is small.
        // SAFETY: The signal exists, and `force_sig()` acts on `current`.
        unsafe { bindings::force_sig(bindings::SIGSEGV as i32) };
    }
}

/// Whether `rseq_debug` is on.
///
/// # Examples
///
/// ```
/// use kernel::rseq;
///
/// pr_info!("rseq_debug is {}\n", if rseq::debug_enabled() { "on" } else { "off" });
/// ```
#[inline]
pub fn debug_enabled() -> bool {
    #[cfg(CONFIG_RSEQ_DEBUG_DEFAULT_ENABLE)]
    return jump_label::static_branch_likely!(rseq_debug_enabled);

    #[cfg(not(CONFIG_RSEQ_DEBUG_DEFAULT_ENABLE))]
    return jump_label::static_branch_unlikely!(rseq_debug_enabled);
}
