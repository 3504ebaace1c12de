//! BFD on a thread of its own.
