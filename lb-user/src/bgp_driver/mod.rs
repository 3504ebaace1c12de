//! Sockets and time of the BGP speaker.
