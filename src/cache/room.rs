//! Memory for what is being read: a semaphore that counts bytes.

use std::sync::Arc;

use prometheus_client::metrics::gauge::Gauge;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The semaphore counts in units of this many bytes, so that its 32 bits go far enough.
const UNIT_BYTES: u64 = 1024;

/// The memory that fills share.
#[derive(Clone, Debug)]
pub struct FillRoom {
    free: Arc<Semaphore>,
    units_max: u32,
    filling_bytes: Gauge,
}

impl FillRoom {
    pub(super) fn new(bytes_max: u64, filling_bytes: Gauge) -> Self {
        let most = u32::try_from(Semaphore::MAX_PERMITS).unwrap_or(u32::MAX);
        let units_max = u32::try_from(bytes_max / UNIT_BYTES).unwrap_or(u32::MAX).clamp(1, most);
        Self { free: Arc::new(Semaphore::new(units_max as usize)), units_max, filling_bytes }
    }

    /// Waits until `bytes` may be read, first come, first served; what is larger than all the room waits for all of it. To be
    /// called once a fill, before reading; the reservation is held until the object is made.
    pub async fn reserve(self, bytes: u64) -> FillReservation {
        let units = u32::try_from(bytes.div_ceil(UNIT_BYTES)).unwrap_or(u32::MAX).min(self.units_max);
        // The semaphore is never closed, so there is no other way for this to end than with a permit.
        let permit = self.free.acquire_many_owned(units).await.ok();
        let bytes = i64::from(units) * UNIT_BYTES as i64;
        self.filling_bytes.inc_by(bytes);
        FillReservation { _permit: permit, bytes, filling_bytes: self.filling_bytes }
    }
}

/// Room that was reserved; given back when dropped.
#[derive(Debug)]
#[must_use = "the room is given back when this is dropped"]
pub struct FillReservation {
    _permit: Option<OwnedSemaphorePermit>,
    bytes: i64,
    filling_bytes: Gauge,
}

impl Drop for FillReservation {
    fn drop(&mut self) {
        self.filling_bytes.dec_by(self.bytes);
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    #[tokio::test]
    async fn bytes_are_bounded_and_the_largest_still_fit() {
        let gauge = Gauge::default();
        let room = FillRoom::new(10 * 1024, gauge.clone());
        let first = room.clone().reserve(6 * 1024).await;
        assert_eq!(gauge.get(), 6 * 1024);
        let mut second = Box::pin(room.clone().reserve(5 * 1024));
        assert!(second.as_mut().now_or_never().is_none(), "there is no room for both");
        drop(first);
        let second = second.await;
        let mut huge = Box::pin(room.reserve(u64::MAX));
        assert!(huge.as_mut().now_or_never().is_none());
        drop(second);
        assert_eq!(huge.await.bytes, 10 * 1024);
        assert_eq!(gauge.get(), 0);
    }
}
