//! Memory for bodies that the kernel sends without copying them: one file that exists in memory alone, mapped once.
//!
//! A body is written into the file and shown as [`Bytes`] of the mapping, so that whoever wants its bytes has them, and whoever
//! wants to send them asks for the place in the file. Pages are written once. When a body is dropped its pages are taken out of
//! the file; those that the kernel is still sending stay as they are until it has done so, and whoever gets the place next
//! gets fresh ones. That is how small pages behave; with large ones a part that is taken out is cleared in place, under the eyes of a
//! client that is still being sent it. So it is tried out before anything relies on it.

use std::fs::File;
use std::io::{self, Read};
use std::ops::Range;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::FileExt;
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use memmap2::{MmapOptions, MmapRaw};
use range_alloc::RangeAllocator;
use rustix::fs::{FallocateFlags, MemfdFlags, fallocate, memfd_create, sendfile};

/// A body takes whole pages. A page may be larger than this, which then costs memory and nothing else.
const PAGE_BYTES: u64 = 4096;

/// The largest page that the kernel might choose, where pages are of 4 KiB.
const LARGE_PAGE_BYTES: u64 = 2 << 20;

/// Room for bodies in a file in memory.
pub struct Arena {
    file: File,
    map: MmapRaw,
    free: Mutex<RangeAllocator<u64>>,
}

impl Arena {
    /// An empty arena with `bytes` of addresses; memory is only taken for what is kept.
    ///
    /// # Errors
    /// When there is no such file to be had, or not so many addresses, or the system makes it of large pages.
    pub fn new(bytes: u64) -> io::Result<Arc<Self>> {
        let bytes = bytes.max(1).next_multiple_of(PAGE_BYTES);
        let file = File::from(memfd_create("headwater-cache", MemfdFlags::CLOEXEC)?);
        file.set_len(bytes)?;
        let length = usize::try_from(bytes).map_err(|_| io::Error::from(io::ErrorKind::OutOfMemory))?;
        let map = MmapOptions::new().len(length).map_raw_read_only(&file)?;
        check_pages(&file, bytes.min(LARGE_PAGE_BYTES))?;
        Ok(Arc::new(Self { file, map, free: Mutex::new(RangeAllocator::new(0..bytes)) }))
    }

    /// Copies a body into the arena; none when it is empty, or there is no room or no memory for it.
    pub fn keep(self: &Arc<Self>, body: &[u8]) -> Option<Bytes> {
        if body.is_empty() {
            return None;
        }
        let range = self.free().allocate_range((body.len() as u64).next_multiple_of(PAGE_BYTES)).ok()?;
        // From here on the range is given back by the region's drop.
        let region = Region { arena: Arc::clone(self), start: range.start, length: body.len(), range };
        self.file.write_all_at(body, region.start).ok()?;
        Some(Bytes::from_owner(region))
    }

    /// Where in the file a slice begins that is part of a body kept here.
    pub fn find(&self, slice: &[u8]) -> Option<u64> {
        let offset = (slice.as_ptr() as usize).checked_sub(self.map.as_ptr() as usize)?;
        (offset < self.map.len()).then_some(offset as u64)
    }

    /// The file, for the kernel to send from.
    pub fn file(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }

    /// Nothing panics while it holds the lock.
    fn free(&self) -> MutexGuard<'_, RangeAllocator<u64>> {
        self.free.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The place of one body.
struct Region {
    arena: Arc<Arena>,
    range: Range<u64>,
    start: u64,
    length: usize,
}

impl AsRef<[u8]> for Region {
    fn as_ref(&self) -> &[u8] {
        // SAFETY: the mapping is valid for reads as long as the arena, which the region holds; start and length are within it,
        // for the file is as long as the mapping and never shrinks. Nothing writes there as long as the region is: it was
        // written before it was shown, its range is nobody else's until it is dropped, and the file descriptor goes to no
        // other process.
        unsafe { std::slice::from_raw_parts(self.arena.map.as_ptr().add(self.start as usize), self.length) }
    }
}

impl Drop for Region {
    fn drop(&mut self) {
        // Pages that could not be taken out may still be on their way to a client and must not be written again.
        if take_out(&self.arena.file, self.range.clone()).is_ok() {
            self.arena.free().free_range(self.range.clone());
        }
    }
}

/// Takes pages out of the file.
fn take_out(file: &File, range: Range<u64>) -> io::Result<()> {
    let hole = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
    Ok(fallocate(file, hole, range.start, range.end - range.start)?)
}

/// Sends a page of an empty file's first `bytes`, and takes it out before it is received.
fn check_pages(file: &File, bytes: u64) -> io::Result<()> {
    const MARK: u8 = 0xa5;
    let (mut reader, writer) = UnixStream::pair()?;
    file.write_all_at(&vec![MARK; bytes as usize], 0)?;
    let mut read = [0; PAGE_BYTES as usize];
    let sent = sendfile(&writer, file, Some(&mut 0), read.len())?;
    take_out(file, 0..PAGE_BYTES)?;
    reader.read_exact(&mut read[..sent])?;
    take_out(file, 0..bytes)?;
    if sent == 0 || read[..sent].iter().any(|&byte| byte != MARK) {
        let told = "files in memory have large pages here: /sys/kernel/mm/transparent_hugepage/shmem_enabled should be never or advise";
        return Err(io::Error::new(io::ErrorKind::Unsupported, told));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use rustix::fs::fstat;

    use super::*;

    fn used_bytes(arena: &Arena) -> u64 {
        fstat(arena.file()).expect("a file").st_blocks as u64 * 512
    }

    #[test]
    fn bodies_are_kept_found_and_given_back() {
        let arena = Arena::new(64 << 10).expect("an arena");
        let (one, other) = (vec![1; 10_000], vec![2; 20_000]);
        let kept = arena.keep(&one).expect("room");
        let also = arena.keep(&other).expect("room");
        assert_eq!((&kept[..], &also[..]), (&one[..], &other[..]));
        for (slice, body) in [(kept.slice(5000..), &one[5000..]), (also.slice(19_999..), &other[19_999..])] {
            let mut read = vec![0; body.len()];
            arena.file.read_exact_at(&mut read, arena.find(&slice).expect("a place")).expect("bytes");
            assert_eq!(read, body);
        }
        assert_eq!(arena.find(&one), None);
        assert!(arena.keep(&vec![3; 40_000]).is_none(), "there is no room");
        assert!(arena.keep(&[]).is_none());
        assert_eq!(used_bytes(&arena), (3 + 5) * PAGE_BYTES);
        let slice = kept.slice(1..2);
        drop(kept);
        assert_eq!(used_bytes(&arena), (3 + 5) * PAGE_BYTES, "a slice of it is in use");
        drop((slice, also));
        assert_eq!(used_bytes(&arena), 0);
        let again = arena.keep(&vec![3; 40_000]).expect("room");
        assert!(again.iter().all(|&byte| byte == 3));
    }

    #[test]
    fn what_is_being_sent_stays_as_it_was() {
        let arena = Arena::new(16 << 10).expect("an arena");
        let (mut reader, writer) = std::os::unix::net::UnixStream::pair().expect("sockets");
        let kept = arena.keep(&[1; 16 << 10]).expect("room");
        let sent = rustix::fs::sendfile(&writer, arena.file(), Some(&mut 0), 16 << 10).expect("sent");
        assert_eq!(sent, 16 << 10);
        drop(kept);
        let next = arena.keep(&[2; 16 << 10]).expect("the same room");
        let mut read = vec![0; 16 << 10];
        io::Read::read_exact(&mut reader, &mut read).expect("bytes");
        assert!(read.iter().all(|&byte| byte == 1), "the body that was sent");
        assert!(next.iter().all(|&byte| byte == 2));
    }
}
