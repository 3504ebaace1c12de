//! Codec, malformed frames, and two peerings over a virtual byte pipe.

mod codec;
mod malformed;
mod stream;
mod world;
