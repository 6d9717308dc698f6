//! How a trace names a text without holding it.

use std::hash::{DefaultHasher, Hasher};

/// A text's name in details: the same for the same text in every process of one build.
pub fn digest(text: &str) -> String {
    let mut hasher = DefaultHasher::new();
    hasher.write(text.as_bytes());
    format!("{:016x}", hasher.finish())
}
