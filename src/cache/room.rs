//! Memory for bodies: a semaphore that counts bytes. What is reserved goes with the body it was reserved for, to its last user:
//! an object that was dropped for others while a slow client still reads it is still paid for.

use std::sync::Arc;

use bytes::Bytes;
use prometheus_client::metrics::gauge::Gauge;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::arena::Arena;

/// The semaphore counts in units of this many bytes, so that its 32 bits go far enough.
const UNIT_BYTES: u64 = 1024;
/// Bodies of at least so many bytes are kept in the arena; smaller ones are copied into the socket anyway.
const ARENA_BYTES_MIN: usize = 32 << 10;

/// Memory that bodies share.
#[derive(Clone)]
pub struct Room {
    free: Arc<Semaphore>,
    units_max: u32,
    /// Where large bodies are; without one they are on the heap.
    arena: Option<Arc<Arena>>,
    held_bytes: Gauge,
}

impl Room {
    pub(super) fn new(bytes_max: u64, arena: Option<Arc<Arena>>, held_bytes: Gauge) -> Self {
        let most = u32::try_from(Semaphore::MAX_PERMITS).unwrap_or(u32::MAX);
        let units_max = u32::try_from(bytes_max / UNIT_BYTES).unwrap_or(u32::MAX).clamp(1, most);
        Self { free: Arc::new(Semaphore::new(units_max as usize)), units_max, arena, held_bytes }
    }

    /// How much there is of it.
    pub fn bytes_max(&self) -> u64 {
        u64::from(self.units_max) * UNIT_BYTES
    }

    /// Waits until `bytes` may be read, first come, first served; what is larger than all the room waits for all of it. To be
    /// called once a fill, before reading.
    pub async fn reserve(&self, bytes: u64) -> Reservation {
        // The semaphore is never closed, so there is no other way for this to end than with a permit.
        let permit = Arc::clone(&self.free).acquire_many_owned(self.units(bytes)).await.ok();
        self.reserved(permit)
    }

    /// Room for `bytes` if as much again stays free, so that whoever needs it more does not wait.
    pub fn spare(&self, bytes: u64) -> Option<Reservation> {
        let units = self.units(bytes);
        if self.free.available_permits() < 2 * units as usize {
            return None;
        }
        Arc::clone(&self.free).try_acquire_many_owned(units).ok().map(|permit| self.reserved(Some(permit)))
    }

    /// Whether less than half of it is free.
    pub fn is_scarce(&self) -> bool {
        self.free.available_permits() < self.units_max as usize / 2
    }

    fn units(&self, bytes: u64) -> u32 {
        u32::try_from(bytes.div_ceil(UNIT_BYTES)).unwrap_or(u32::MAX).min(self.units_max)
    }

    fn reserved(&self, permit: Option<OwnedSemaphorePermit>) -> Reservation {
        let reservation = Reservation { permit, arena: self.arena.clone(), held_bytes: self.held_bytes.clone() };
        self.held_bytes.inc_by(reservation.bytes());
        reservation
    }
}

/// Room that was reserved; given back when dropped.
#[must_use = "the room is given back when this is dropped"]
pub struct Reservation {
    permit: Option<OwnedSemaphorePermit>,
    arena: Option<Arc<Arena>>,
    held_bytes: Gauge,
}

impl Reservation {
    /// Gives back what is more than `bytes`.
    pub fn shrink(mut self, bytes: u64) -> Self {
        let needed = usize::try_from(bytes.div_ceil(UNIT_BYTES)).unwrap_or(usize::MAX);
        let surplus = self.permit.as_mut().and_then(|permit| permit.split(permit.num_permits().checked_sub(needed)?));
        if let Some(surplus) = surplus {
            self.held_bytes.dec_by((surplus.num_permits() as u64 * UNIT_BYTES) as i64);
        }
        self
    }

    /// Ties the room to a body, which is brought to where it can be sent from: the room is given back with the last slice of it.
    pub fn hold(self, mut bytes: Bytes) -> Bytes {
        if bytes.len() >= ARENA_BYTES_MIN
            && let Some(kept) = self.arena.as_ref().and_then(|arena| arena.keep(&bytes))
        {
            bytes = kept;
        }
        Bytes::from_owner(Held { bytes, _reservation: self })
    }

    fn bytes(&self) -> i64 {
        self.permit.as_ref().map_or(0, |permit| (permit.num_permits() as u64 * UNIT_BYTES) as i64)
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.held_bytes.dec_by(self.bytes());
    }
}

struct Held {
    bytes: Bytes,
    _reservation: Reservation,
}

impl AsRef<[u8]> for Held {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    #[tokio::test]
    async fn bytes_are_bounded_and_the_largest_still_fit() {
        let gauge = Gauge::default();
        let room = Room::new(10 * 1024, None, gauge.clone());
        let first = room.reserve(6 * 1024).await;
        assert_eq!(gauge.get(), 6 * 1024);
        let mut second = Box::pin(room.reserve(5 * 1024));
        assert!(second.as_mut().now_or_never().is_none(), "there is no room for both");
        drop(first);
        let second = second.await;
        let mut huge = Box::pin(room.reserve(u64::MAX));
        assert!(huge.as_mut().now_or_never().is_none());
        drop(second);
        assert_eq!(huge.await.bytes(), 10 * 1024);
        assert_eq!(gauge.get(), 0);
    }

    #[tokio::test]
    async fn a_body_is_paid_for_until_its_last_slice_is_gone() {
        let gauge = Gauge::default();
        let room = Room::new(10 * 1024, None, gauge.clone());
        let body = room.reserve(8 * 1024).await.shrink(4 * 1024).hold(Bytes::from(vec![7; 4096]));
        assert_eq!(gauge.get(), 4096);
        let slice = body.slice(10..20);
        drop(body);
        assert_eq!(gauge.get(), 4096);
        assert_eq!(slice, [7; 10].as_slice());
        drop(slice);
        assert_eq!(gauge.get(), 0);
        assert_eq!(room.reserve(1024).await.shrink(4096).bytes(), 1024, "nothing grows");
    }

    #[tokio::test]
    async fn only_what_is_spare_is_given_to_whoever_does_not_wait() {
        let room = Room::new(10 * 1024, None, Gauge::default());
        assert!(room.spare(6 * 1024).is_none());
        let spare = room.spare(5 * 1024).expect("half of it");
        assert!(room.spare(3 * 1024).is_none() && !room.is_scarce());
        let _more = room.reserve(1).await;
        assert!(room.is_scarce());
        drop(spare);
        assert!(!room.is_scarce());
    }
}
