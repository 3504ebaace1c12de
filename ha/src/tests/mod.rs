//! Two elections on one virtual clock.

mod codec;
mod elect;
mod explore;
mod rules;
mod world;
