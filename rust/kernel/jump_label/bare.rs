// SPDX-License-Identifier: GPL-2.0

/// Evaluates a `struct static_key_true` of C, expecting it to be enabled.
///
/// Takes the name of the key, as opposed to
/// [`static_branch_unlikely!`](crate::static_branch_unlikely), which takes a structure and the
/// field of it that is the key. With `CONFIG_JUMP_LABEL` this is a no-op, which is patched into a
/// jump when the key is disabled.
#[macro_export]
macro_rules! static_key_true_enabled {
    ($key:ident) => {{
        let _key: *const $crate::bindings::static_key_true = &raw const $crate::bindings::$key;

        #[cfg(not(CONFIG_JUMP_LABEL))]
        // SAFETY: What `bindings` has of this type is a static key defined by C.
        unsafe {
            $crate::bindings::static_key_count(_key.cast_mut().cast()) > 0
        }

        #[cfg(CONFIG_JUMP_LABEL)]
        // SAFETY: What `bindings` has of this type is a static key defined by C.
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
pub use static_key_true_enabled;

/// Evaluates a `struct static_key_false` of C, expecting it to be disabled.
///
/// Takes the name of the key. With `CONFIG_JUMP_LABEL` this is a no-op, which is patched into a
/// jump when the key is enabled.
#[macro_export]
macro_rules! static_key_false_enabled {
    ($key:ident) => {{
        let _key: *const $crate::bindings::static_key_false = &raw const $crate::bindings::$key;

        #[cfg(not(CONFIG_JUMP_LABEL))]
        // SAFETY: What `bindings` has of this type is a static key defined by C.
        unsafe {
            $crate::bindings::static_key_count(_key.cast_mut().cast()) > 0
        }

        #[cfg(CONFIG_JUMP_LABEL)]
        // SAFETY: What `bindings` has of this type is a static key defined by C.
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
pub use static_key_false_enabled;
