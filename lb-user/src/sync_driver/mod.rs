//! TLS connections of the flow synchronisation.
