//! Map layouts and the packet path.
#![cfg_attr(not(any(test, feature = "std")), no_std)]
