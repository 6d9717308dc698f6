//! Chance that can be had again: what falls is a function of the seed and of what is asked.
//!
//! Nothing is drawn from a stream, so it does not matter which of two tasks asks first.

use std::ops::Range;

/// Chance about one thing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self(mix(seed))
    }

    /// Chance about something more exact.
    pub(crate) fn about(self, what: &str) -> Self {
        // FNV-1a, since the standard library's hash may change with the compiler.
        let hash = what.bytes().fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
        self.nth(hash)
    }

    /// Chance about the `n`th of something.
    pub(crate) fn nth(self, n: u64) -> Self {
        Self(mix(self.0.rotate_left(23) ^ mix(n)))
    }

    pub(crate) fn below(self, n: u64) -> u64 {
        self.0 % n
    }

    pub(crate) fn within(self, range: Range<u64>) -> u64 {
        range.start + self.below(range.end - range.start)
    }

    /// Falls in so many of a thousand cases.
    pub(crate) fn falls(self, permille: u64) -> bool {
        self.below(1_000) < permille
    }

    pub(crate) fn pick<T: Copy>(self, from: &[T]) -> T {
        from[self.below(from.len() as u64) as usize]
    }
}

/// The last step of splitmix64: every bit of the result depends on every bit of the number.
fn mix(number: u64) -> u64 {
    let number = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ (number >> 31)
}
