//! The account of free space: what is promised to one upload is not promised to another.

use std::fmt;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use super::receive::Refused;

/// Free space of the spool's file system, less a reserve, less what was promised and not yet written.
pub(super) struct Space {
    reserve_bytes: u64,
    free_bytes: Box<dyn Fn() -> io::Result<u64> + Send + Sync>,
    promised_bytes: Mutex<u64>,
}

/// Space for bytes still to be written. Dropping it gives back the rest.
#[derive(Debug)]
pub(super) struct Promise {
    space: Arc<Space>,
    bytes: u64,
}

impl Space {
    /// An account of what `free_bytes` tells, of which `reserve_bytes` are never promised.
    pub(super) fn new(reserve_bytes: u64, free_bytes: impl Fn() -> io::Result<u64> + Send + Sync + 'static) -> Arc<Self> {
        Arc::new(Self { reserve_bytes, free_bytes: Box::new(free_bytes), promised_bytes: Mutex::new(0) })
    }

    /// Promises `bytes`, or says that they are not there. Waits for the file system; not for a runtime's thread.
    pub(super) fn promise(self: &Arc<Self>, bytes: u64) -> Result<Promise, Refused> {
        let mut promise = Promise { space: self.clone(), bytes: 0 };
        promise.extend(bytes)?;
        Ok(promise)
    }

    /// What could be promised now.
    fn available_bytes(&self) -> io::Result<u64> {
        self.available_beside(*self.promised_bytes.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn available_beside(&self, promised_bytes: u64) -> io::Result<u64> {
        Ok((self.free_bytes)()?.saturating_sub(self.reserve_bytes).saturating_sub(promised_bytes))
    }
}

impl Promise {
    /// Bytes that were promised and not yet written.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// What could be promised beyond; 0 when the file system does not tell.
    pub(super) fn available_bytes(&self) -> u64 {
        self.space.available_bytes().unwrap_or(0)
    }

    /// Promises `bytes` more.
    pub(super) fn extend(&mut self, bytes: u64) -> Result<(), Refused> {
        // One number is under the lock, changed in one step.
        let mut promised = self.space.promised_bytes.lock().unwrap_or_else(PoisonError::into_inner);
        let available = self.space.available_beside(*promised).map_err(Refused::Io)?;
        if bytes > available {
            return Err(Refused::NoSpace { needed_bytes: bytes, free_bytes: available });
        }
        *promised += bytes;
        self.bytes += bytes;
        Ok(())
    }

    /// `bytes` of the promise were written, so that the file system counts them now.
    pub(super) fn used(&mut self, bytes: u64) {
        let bytes = bytes.min(self.bytes);
        self.bytes -= bytes;
        *self.space.promised_bytes.lock().unwrap_or_else(PoisonError::into_inner) -= bytes;
    }
}

impl Drop for Promise {
    fn drop(&mut self) {
        self.used(self.bytes);
    }
}

impl fmt::Debug for Space {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Space")
            .field("reserve_bytes", &self.reserve_bytes)
            .field("promised_bytes", &self.promised_bytes)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;

    #[test]
    fn the_same_space_is_not_promised_twice() {
        let free = Arc::new(AtomicU64::new(1000));
        let space = Space::new(100, {
            let free = free.clone();
            move || Ok(free.load(Ordering::SeqCst))
        });
        let mut first = space.promise(600).expect("promised");
        assert!(matches!(space.promise(400), Err(Refused::NoSpace { needed_bytes: 400, free_bytes: 300 })));
        let second = space.promise(300).expect("promised");
        free.store(800, Ordering::SeqCst);
        first.used(200);
        assert_eq!(space.available_bytes().expect("asked"), 0, "writing moves bytes from promised to used");
        assert!(first.extend(1).is_err());
        drop(second);
        first.extend(300).expect("given back");
        drop(first);
        assert_eq!(space.available_bytes().expect("asked"), 700);
        free.store(50, Ordering::SeqCst);
        assert!(matches!(space.promise(1), Err(Refused::NoSpace { needed_bytes: 1, free_bytes: 0 })), "the reserve stays");
    }
}
