#![doc = include_str!("../README.md")]

use std::ffi::{c_int, c_long};

pub use mimalloc::MiMalloc as Allocator;

/// The largest block that mimalloc takes from its own areas, in KiB: as large as the largest of its
/// pages for smaller blocks, which are to stay in its areas.
const LARGEST_KEPT_KIB: c_long = 4 << 10;

/// `mi_option_arena_max_object_size` of mimalloc 3.3, which the bindings have no name for.
const ARENA_MAX_OBJECT_SIZE: c_int = 45;

// The options are numbered in their order: another count may mean another number.
const _: () = assert!(libmimalloc_sys::_mi_option_last == 47);

/// Lets every block of more than 4 MiB that is allocated from now on come from the system and go
/// back to it when it is freed. To be called at the beginning of `main`; without effect where
/// another allocator is used, or where the environment says otherwise.
pub fn return_large_blocks() {
    #[expect(
        unsafe_code,
        reason = "no safe wrapper exists; the function checks its argument and stores one number"
    )]
    // SAFETY: the option exists, as asserted above, and may be set at any time.
    unsafe {
        libmimalloc_sys::mi_option_set_default(ARENA_MAX_OBJECT_SIZE, LARGEST_KEPT_KIB);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_option_is_the_one_that_is_meant_and_is_set() {
        #[expect(unsafe_code, reason = "no safe wrapper exists; the function reads one number")]
        // SAFETY: the option exists.
        let get = || unsafe { libmimalloc_sys::mi_option_get(ARENA_MAX_OBJECT_SIZE) };
        // The default of no other option is 2 GiB less what the areas need themselves.
        assert!(get() > 1 << 20, "{}", get());
        return_large_blocks();
        assert_eq!(get(), LARGEST_KEPT_KIB);
    }
}
