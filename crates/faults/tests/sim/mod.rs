//! A made-up world around the real middle of a gateway, all of it from one seed.

pub(crate) mod book;
mod client;
mod clock;
mod crowd;
mod deeds;
mod dice;
mod gate;
pub(crate) mod history;
pub(crate) mod judge;
mod life;
pub(crate) mod platform;
mod sick;
pub(crate) mod story;
mod vendor;
mod wire;
mod world;
