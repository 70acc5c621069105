//! What each address has open and asks for: connections at once, and requests a second. An address of IPv6 is a network of 64
//! bits, for that is what one customer gets.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::limits::Limits;

/// Shards, so that threads which accept rarely wait for each other.
const SHARDS: usize = 16;
/// Requests that may come at once are those of so long a time.
const BURST: Duration = Duration::from_secs(4);
/// Entries of a shard that are not looked through for those that nobody needs any more.
const UNSWEPT: usize = 64;

/// All addresses of a listener.
pub(super) struct Addresses {
    shards: [Mutex<Shard>; SHARDS],
    hasher: RandomState,
    began: Instant,
}

#[derive(Default)]
struct Shard {
    entries: HashMap<u128, Entry>,
    /// With more entries than this, they are looked through.
    sweep_at: usize,
}

struct Entry {
    connections: usize,
    bucket: Arc<Bucket>,
}

impl Default for Addresses {
    fn default() -> Self {
        let shards = std::array::from_fn(|_| Mutex::new(Shard { entries: HashMap::new(), sweep_at: UNSWEPT }));
        Self { shards, hasher: RandomState::new(), began: Instant::now() }
    }
}

/// As many connections are open from the address as may be.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct TooMany;

impl Addresses {
    /// A place for one more connection from `address`; absent where no limit holds for it.
    ///
    /// # Errors
    /// [`TooMany`].
    pub(super) fn admit(self: &Arc<Self>, address: IpAddr, limits: &Limits) -> Result<Option<AddressPlace>, TooMany> {
        let unlimited = limits.address_connections_max == 0 && limits.address_requests_max == 0;
        if unlimited || limits.unlimited.iter().any(|network| network.contains(address)) {
            return Ok(None);
        }
        let key = key(address);
        let now_us = self.now_us();
        let mut shard = self.shard(key);
        shard.sweep(now_us);
        let entry = shard.entries.entry(key).or_insert_with(|| Entry { connections: 0, bucket: Arc::default() });
        if limits.address_connections_max > 0 && entry.connections >= limits.address_connections_max {
            return Err(TooMany);
        }
        entry.connections += 1;
        let bucket = Arc::clone(&entry.bucket);
        drop(shard);
        let gap_us = 1_000_000_u64.checked_div(limits.address_requests_max.into()).map(|gap_us| gap_us.max(1));
        Ok(Some(AddressPlace { addresses: Arc::clone(self), key, bucket, gap_us }))
    }

    /// Addresses that something is known of.
    #[cfg(test)]
    fn known(&self) -> usize {
        self.shards.iter().map(|shard| lock(shard).entries.len()).sum()
    }

    fn shard(&self, key: u128) -> MutexGuard<'_, Shard> {
        lock(&self.shards[self.hasher.hash_one(key) as usize % SHARDS])
    }

    fn now_us(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_micros()).unwrap_or(u64::MAX)
    }
}

impl Shard {
    /// Drops entries without connections whose bucket is as good as new, when there are many more than after the last time.
    fn sweep(&mut self, now_us: u64) {
        if self.entries.len() > self.sweep_at {
            self.entries.retain(|_, entry| entry.connections > 0 || !entry.bucket.is_full(now_us));
            self.sweep_at = UNSWEPT.max(self.entries.len() * 2);
        }
    }
}

/// Kept as long as a connection is open.
pub(super) struct AddressPlace {
    addresses: Arc<Addresses>,
    key: u128,
    bucket: Arc<Bucket>,
    /// Between two requests of a steady stream; absent where they are not counted.
    gap_us: Option<u64>,
}

impl AddressPlace {
    /// Takes one request.
    ///
    /// # Errors
    /// After how many seconds to ask again.
    pub(super) fn ask(&self) -> Result<(), u64> {
        let Some(gap_us) = self.gap_us else { return Ok(()) };
        self.bucket.take(self.addresses.now_us(), gap_us)
    }
}

impl Drop for AddressPlace {
    fn drop(&mut self) {
        let now_us = self.addresses.now_us();
        let mut shard = self.addresses.shard(self.key);
        if let Some(entry) = shard.entries.get_mut(&self.key) {
            entry.connections = entry.connections.saturating_sub(1);
            if entry.connections == 0 && entry.bucket.is_full(now_us) {
                shard.entries.remove(&self.key);
            }
        }
    }
}

/// A token bucket, kept as the time at which it is full again, in microseconds.
#[derive(Default)]
struct Bucket(AtomicU64);

impl Bucket {
    /// Takes one token, of which there is a new one every `gap_us`.
    fn take(&self, now_us: u64, gap_us: u64) -> Result<(), u64> {
        let burst_us = u64::try_from(BURST.as_micros()).unwrap_or(u64::MAX);
        let taken = self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |full_us| {
            let next_us = full_us.max(now_us) + gap_us;
            (next_us - now_us <= burst_us.max(gap_us)).then_some(next_us)
        });
        taken.map(drop).map_err(|full_us| (full_us + gap_us).saturating_sub(now_us + burst_us.max(gap_us)).div_ceil(1_000_000).max(1))
    }

    fn is_full(&self, now_us: u64) -> bool {
        self.0.load(Ordering::Relaxed) <= now_us
    }
}

/// Addresses that count together have the same.
fn key(address: IpAddr) -> u128 {
    match address.to_canonical() {
        IpAddr::V4(address) => address.to_ipv6_mapped().to_bits(),
        IpAddr::V6(address) => address.to_bits() >> 64 << 64,
    }
}

/// Nothing panics while it holds the lock.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits(connections: usize, requests: u32) -> Limits {
        let unlimited = vec!["198.51.100.0/24".parse().expect("a network")];
        Limits { address_connections_max: connections, address_requests_max: requests, unlimited, ..Limits::USUAL }
    }

    fn address(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    #[tokio::test(start_paused = true)]
    async fn connections_are_counted_by_address() {
        let addresses = Arc::new(Addresses::default());
        let limits = limits(2, 0);
        let admit = |text: &str| addresses.admit(address(text), &limits);
        let mut open: Vec<_> = ["192.0.2.1", "::ffff:192.0.2.1", "2001:db8::1", "2001:db8::ffff:1"].map(admit).into_iter().collect();
        assert!(open.iter().all(|place| matches!(place, Ok(Some(_)))));
        for text in ["192.0.2.1", "2001:db8:0:0:5::"] {
            assert!(matches!(admit(text), Err(TooMany)), "{text}");
        }
        for text in ["192.0.2.2", "2001:db8:0:1::1"] {
            assert!(matches!(admit(text), Ok(Some(_))), "{text}");
        }
        for _ in 0..10 {
            open.push(admit("198.51.100.7"));
        }
        assert!(open[4..].iter().all(|place| matches!(place, Ok(None))), "no limit holds for these");
        drop(open.remove(0));
        assert!(matches!(admit("192.0.2.1"), Ok(Some(_))), "a place is free again");
        drop(open);
        assert_eq!(addresses.known(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn requests_are_counted_across_connections() {
        let addresses = Arc::new(Addresses::default());
        let limits = limits(0, 10);
        let admit = || addresses.admit(address("192.0.2.1"), &limits).expect("a place").expect("a limit");
        let (one, other) = (admit(), admit());
        for index in 0..40 {
            assert_eq!(if index % 2 == 0 { one.ask() } else { other.ask() }, Ok(()), "{index}");
        }
        assert_eq!(one.ask(), Err(1));
        drop((one, other));
        assert_eq!(addresses.known(), 1, "who comes back at once is known");
        let again = admit();
        assert_eq!(again.ask(), Err(1));
        tokio::time::advance(Duration::from_millis(500)).await;
        assert_eq!((0..6).map(|_| again.ask().is_ok()).collect::<Vec<_>>(), [true, true, true, true, true, false]);
        tokio::time::advance(Duration::from_secs(3600)).await;
        assert_eq!((0..41).filter(|_| again.ask().is_ok()).count(), 40, "what was not asked is not saved up");
        tokio::time::advance(Duration::from_secs(4)).await;
        drop(again);
        assert_eq!(addresses.known(), 0);
    }

    /// Each address has asked, and is known until its bucket is full.
    #[tokio::test(start_paused = true)]
    async fn a_flood_of_addresses_is_forgotten() {
        let addresses = Arc::new(Addresses::default());
        let limits = limits(1, 1);
        for index in 0..100_000_u32 {
            let place = addresses.admit(IpAddr::V4(index.into()), &limits).expect("a place").expect("a limit");
            place.ask().expect("the first");
            tokio::time::advance(Duration::from_millis(1)).await;
        }
        assert!(addresses.known() < 5000, "{}", addresses.known());
    }
}
