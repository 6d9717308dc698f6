//! How long a wrong secret waits for its answer.

use std::{collections::HashMap, net::IpAddr, time::Duration};

use claw_domain::Timestamp;

/// How far back wrong secrets count.
const WINDOW_MS: i64 = 60_000;
/// Wrong secrets in the window that are answered at once.
const FREE: usize = 2;
/// What the first delayed answer waits.
const FIRST_DELAY: Duration = Duration::from_millis(500);
/// What every later one waits.
const DELAY_MAX: Duration = Duration::from_secs(1);
/// Addresses remembered. When full, the one whose last wrong secret is oldest is forgotten.
const ADDRESSES_MAX: usize = 1024;

/// Slows the guessing of secrets down. It never locks anybody out, and a right secret does not
/// ask it, so it never waits.
#[derive(Debug, Default)]
pub struct Throttle {
    /// The newest wrong secrets of each address, oldest first, at most `FREE + 1`.
    wrongs: HashMap<IpAddr, Vec<i64>>,
}

impl Throttle {
    /// Notes a wrong secret from `address`; its refusal is to wait this long.
    pub fn wrong(&mut self, now: Timestamp, address: IpAddr) -> Duration {
        let now = now.as_millisecond();
        // One person is one key, however the address is written.
        let address = address.to_canonical();
        if !self.wrongs.contains_key(&address) && self.wrongs.len() >= ADDRESSES_MAX {
            self.forget_oldest();
        }
        let times = self.wrongs.entry(address).or_default();
        // A clock that was set back forgives nothing.
        times.retain(|time| now.saturating_sub(*time) < WINDOW_MS);
        let delay = match times.len() {
            0..FREE => Duration::ZERO,
            FREE => FIRST_DELAY,
            _ => DELAY_MAX,
        };
        if times.len() > FREE {
            times.remove(0);
        }
        times.push(now);
        delay
    }

    fn forget_oldest(&mut self) {
        let oldest = self.wrongs.iter().min_by_key(|(_, times)| times.last().copied());
        if let Some(address) = oldest.map(|(address, _)| *address) {
            self.wrongs.remove(&address);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use claw_domain::millis;

    use super::*;

    const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

    #[track_caller]
    fn check(seconds: &[i64], expected_ms: &[u128]) {
        let mut throttle = Throttle::default();
        let delays: Vec<u128> = seconds
            .iter()
            .map(|second| throttle.wrong(millis(second * 1000), HERE).as_millis())
            .collect();
        assert_eq!(delays, expected_ms);
    }

    #[test]
    fn the_third_wrong_secret_in_a_minute_waits_half_a_second_and_no_later_one_over_a_second() {
        check(&[0, 1, 2, 3, 4, 59], &[0, 0, 500, 1000, 1000, 1000]);
    }

    #[test]
    fn a_minute_later_all_is_forgiven() {
        check(&[0, 1, 2, 62, 63, 64], &[0, 0, 500, 0, 0, 500]);
    }

    #[test]
    fn a_clock_that_is_set_back_forgives_nothing() {
        check(&[3600, 3600, 0], &[0, 0, 500]);
    }

    #[test]
    fn one_address_in_two_spellings_is_one_address() {
        // SEC-24
        let mut throttle = Throttle::default();
        let mapped = IpAddr::V6(Ipv4Addr::LOCALHOST.to_ipv6_mapped());
        for address in [HERE, mapped] {
            assert_eq!(throttle.wrong(millis(0), address), Duration::ZERO);
        }
        assert_eq!(throttle.wrong(millis(0), HERE), FIRST_DELAY);
    }

    #[test]
    fn a_flood_of_addresses_fills_no_memory_and_frees_nobody_who_is_guessing() {
        // SEC-76
        let mut throttle = Throttle::default();
        for number in 0..5000_u32 {
            let now = millis(i64::from(number));
            throttle.wrong(now, IpAddr::V4(Ipv4Addr::from(0x0a00_0000 + number)));
            throttle.wrong(now, HERE);
        }
        assert_eq!(throttle.wrongs.len(), ADDRESSES_MAX);
        assert_eq!(throttle.wrong(millis(5000), HERE), DELAY_MAX);
    }
}
