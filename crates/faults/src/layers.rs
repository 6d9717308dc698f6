//! How a whole gateway is wrapped.

use std::sync::Arc;

use claw_app::Layers;

use crate::{FaultyChannel, FaultyClock, FaultyProvider, FaultyStore, FaultyTool, Points};

/// Layers in which every part of a gateway passes `points`.
pub fn layers(points: &Points) -> Layers {
    let (store, channel, provider, tool, clock) =
        (points.clone(), points.clone(), points.clone(), points.clone(), points.clone());
    Layers {
        store: Box::new(move |inner| Arc::new(FaultyStore::new(inner, store.clone()))),
        channel: Box::new(move |inner| Arc::new(FaultyChannel::new(inner, channel.clone()))),
        provider: Box::new(move |inner| Arc::new(FaultyProvider::new(inner, provider.clone()))),
        tool: Box::new(move |inner| Arc::new(FaultyTool::new(inner, tool.clone()))),
        clock: Box::new(move |inner| Arc::new(FaultyClock::new(inner, clock.clone()))),
    }
}
