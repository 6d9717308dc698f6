//! The gateway over real sockets.

mod chat;
mod events;
mod frames;
mod handshake;
mod http;
mod letters;
mod methods;
mod support;
