//! Start-up order, wiring and signals.
