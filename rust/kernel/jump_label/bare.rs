// SPDX-License-Identifier: GPL-2.0

/// Evaluates a `struct static_key_true` of C, expecting it to be enabled.
///
/// Takes the name of the key. With `CONFIG_JUMP_LABEL` this is a no-op, which is patched into a
/// jump when the key is disabled.
///
/// # Examples
///
/// ```
/// # #[cfg(CONFIG_RSEQ_SLICE_EXTENSION)]
/// # {
/// use kernel::jump_label::static_branch_likely;
///
/// let enabled: bool = static_branch_likely!(rseq_slice_extension_key);
/// # let _ = enabled;
/// # }
/// ```
#[macro_export]
macro_rules! static_branch_likely {
    ($key:ident) => {{
        let _key: *const $crate::bindings::static_key_true = &raw const $crate::bindings::$key;

        #[cfg(not(CONFIG_JUMP_LABEL))]
        // SAFETY: A static of this type in `bindings` is a static key that C defines.
        unsafe {
            $crate::bindings::static_key_count(_key.cast_mut().cast()) > 0
        }

        #[cfg(CONFIG_JUMP_LABEL)]
        // SAFETY: A static of this type in `bindings` is a static key that C defines.
        unsafe {
            !$crate::jump_label::arch_static_branch! {
                $crate::bindings::$key,
                $crate::bindings::static_key_true,
                key,
                true
            }
        }
    }};
}
pub use static_branch_likely;

/// [`static_branch_unlikely!`](crate::static_branch_unlikely) of a key by its name.
///
/// # Examples
///
/// ```
/// # #[cfg(CONFIG_RSEQ_SLICE_EXTENSION_RUST)]
/// # {
/// let lazy_only: bool = kernel::static_branch_unlikely!(rseq_slice_lazy_key);
/// # let _ = lazy_only;
/// # }
/// ```
#[doc(hidden)]
#[macro_export]
macro_rules! static_branch_unlikely_by_name {
    ($key:ident) => {{
        let _key: *const $crate::bindings::static_key_false = &raw const $crate::bindings::$key;

        #[cfg(not(CONFIG_JUMP_LABEL))]
        // SAFETY: A static of this type in `bindings` is a static key that C defines.
        unsafe {
            $crate::bindings::static_key_count(_key.cast_mut().cast()) > 0
        }

        #[cfg(CONFIG_JUMP_LABEL)]
        // SAFETY: A static of this type in `bindings` is a static key that C defines.
        unsafe {
            $crate::jump_label::arch_static_branch! {
                $crate::bindings::$key,
                $crate::bindings::static_key_false,
                key,
                false
            }
        }
    }};
}
