//! Two elections on one virtual clock.

mod codec;
mod explore;
mod rules;
mod world;
