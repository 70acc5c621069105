//! How much of what was written to a socket the other end has not taken yet.

use std::os::fd::{AsRawFd, RawFd};

use tokio::net::TcpStream;

/// The kernel's queue of what is to be sent over a connection.
#[derive(Clone, Copy, Debug)]
pub(super) struct SendQueue(RawFd);

impl SendQueue {
    /// Of a connection. It tells something of that connection for as long as this is open.
    pub(super) fn of(stream: &TcpStream) -> Self {
        Self(stream.as_raw_fd())
    }

    /// Bytes that were written and that the other end has not confirmed (tcp(7), `SIOCOUTQ`); none where that cannot be told.
    pub(super) fn bytes(self) -> u64 {
        let mut bytes: libc::c_int = 0;
        // SAFETY: the request writes one `int` to where its argument points, and nothing else. Of a descriptor that is closed, or
        // is something else by now, it tells an error or a number that means nothing; neither touches memory.
        let result = unsafe { libc::ioctl(self.0, libc::TIOCOUTQ, &raw mut bytes) };
        if result == 0 { u64::try_from(bytes).unwrap_or(0) } else { 0 }
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn what_nobody_reads_stays_in_the_queue() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let mut reader = TcpStream::connect(listener.local_addr().expect("an address")).await.expect("a connection");
        let (mut writer, _) = listener.accept().await.expect("a connection");
        let queue = SendQueue::of(&writer);
        assert_eq!(queue.bytes(), 0);
        let mut written = 0;
        while let Ok(count) = writer.try_write(&[0; 65_536]) {
            written += count as u64;
        }
        let left = queue.bytes();
        assert!(left > 0 && left < written, "{left} of {written}");
        writer.shutdown().await.expect("an end");
        let mut taken = Vec::new();
        reader.read_to_end(&mut taken).await.expect("all of it");
        assert_eq!(taken.len() as u64, written);
    }
}
