//! What goes by on a connection of HTTP/2 (RFC 9113 4.1): which streams are open, whether a head is under way, and whether a client
//! sends more that asks for nothing than any has reason to.
//!
//! h2 itself bounds what one frame or one head can cost. What it takes any number of is bounded here: resets, settings, pings,
//! priorities, windows, empty data. Each needs credit, which comes with time, with requests and with what is sent to the client.

/// Bytes of a frame before its payload.
const HEAD_BYTES: usize = 9;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const CONTINUATION: u8 = 9;

const END_STREAM: u8 = 1;
const ACK: u8 = 1;
const END_HEADERS: u8 = 4;

/// ENHANCE_YOUR_CALM (RFC 9113 7).
const CALM: u8 = 11;

/// Credit of a new connection, and the most that is saved up.
const CREDIT_MAX: u64 = 2000;
/// Credit that comes with a second.
const CREDIT_PER_SECOND: u64 = 100;
/// Credit that comes with a request.
const CREDIT_PER_REQUEST: u64 = 4;
/// Bytes to the client that bring one.
const BYTES_PER_CREDIT: u64 = 1024;
/// Resets that are credited to a new connection, and the most that are saved up. Each request brings half of one.
const RESETS_MAX: u64 = 200;
/// Resets that come with a second.
const RESETS_PER_SECOND: u64 = 10;
/// What is shorter is hardly worth a frame.
const DATA_BYTES_MIN: usize = 64;

/// What a client sent too much of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Flood {
    /// Requests that it took back.
    Resets,
    /// Frames that ask for nothing.
    Frames,
}

/// A connection's frames, in both directions.
pub(super) struct Frames {
    received: Heads,
    sent: Heads,
    /// Streams whose answers have not ended, in the order in which they were opened.
    open: Vec<u32>,
    last_stream: u32,
    /// The last piece of a head said that another one follows.
    head_goes_on: bool,
    credit: Credit,
}

/// What a client may still send. Resets are counted in halves.
struct Credit {
    frames: u64,
    half_resets: u64,
    sent_bytes: u64,
    at_ms: u64,
}

impl Frames {
    /// Of a connection whose preface has been read.
    pub(super) fn new(now_ms: u64) -> Self {
        let credit = Credit { frames: CREDIT_MAX, half_resets: 2 * RESETS_MAX, sent_bytes: 0, at_ms: now_ms };
        Self { received: Heads::default(), sent: Heads::default(), open: Vec::new(), last_stream: 0, head_goes_on: false, credit }
    }

    /// Looks at bytes that the client has sent.
    ///
    /// # Errors
    /// [`Flood`]: nothing more should be taken from it.
    pub(super) fn received(&mut self, bytes: &[u8], now_ms: u64) -> Result<(), Flood> {
        let Self { received, open, last_stream, head_goes_on, credit, .. } = self;
        credit.refill(now_ms);
        let mut flood = Ok(());
        received.pass(bytes, |head| {
            let (frames, resets) = match head.kind {
                HEADERS => {
                    if head.stream > *last_stream {
                        *last_stream = head.stream;
                        open.push(head.stream);
                        credit.requested();
                    }
                    *head_goes_on = head.flags & END_HEADERS == 0;
                    (0, 0)
                }
                CONTINUATION => {
                    *head_goes_on = head.flags & END_HEADERS == 0;
                    // h2 bounds how many there are to a head.
                    (0, 0)
                }
                RST_STREAM => {
                    open.retain(|stream| *stream != head.stream);
                    (0, 1)
                }
                DATA if head.length >= DATA_BYTES_MIN || head.flags & END_STREAM != 0 => (0, 0),
                SETTINGS | PING if head.flags & ACK == 0 => (2, 0),
                // Windows, priorities, short data, and what is not known.
                _ => (1, 0),
            };
            flood = flood.and(credit.spend(frames, resets));
        });
        flood
    }

    /// Looks at bytes that were sent to the client.
    pub(super) fn sent(&mut self, bytes: &[u8]) {
        let Self { sent, open, credit, .. } = self;
        credit.sent(bytes.len() as u64);
        sent.pass(bytes, |head| {
            let ends = match head.kind {
                DATA | HEADERS => head.flags & END_STREAM != 0,
                RST_STREAM => true,
                _ => false,
            };
            if ends {
                open.retain(|stream| *stream != head.stream);
            }
        });
    }

    /// Streams whose answers have not ended.
    pub(super) fn open_count(&self) -> usize {
        self.open.len()
    }

    /// Whether a head has begun and not ended.
    pub(super) fn is_head_under_way(&self) -> bool {
        self.head_goes_on || self.received.is_within(HEADERS) || self.received.is_within(CONTINUATION)
    }

    /// The frame that tells a client why its connection ends (RFC 9113 6.8); absent while another frame is being sent.
    pub(super) fn farewell(&self) -> Option<[u8; 17]> {
        let [a, b, c, d] = self.last_stream.to_be_bytes();
        self.sent.is_between().then_some([0, 0, 8, GOAWAY, 0, 0, 0, 0, 0, a, b, c, d, 0, 0, 0, CALM])
    }
}

impl Credit {
    fn refill(&mut self, now_ms: u64) {
        let passed_ms = now_ms.saturating_sub(self.at_ms);
        let (frames, half_resets) = (passed_ms * CREDIT_PER_SECOND / 1000, passed_ms * 2 * RESETS_PER_SECOND / 1000);
        // Less than a whole one is left for later.
        if frames > 0 && half_resets > 0 {
            self.at_ms = now_ms;
            self.add(frames, half_resets);
        }
    }

    fn requested(&mut self) {
        self.add(CREDIT_PER_REQUEST, 1);
    }

    fn sent(&mut self, bytes: u64) {
        self.sent_bytes += bytes;
        self.add(self.sent_bytes / BYTES_PER_CREDIT, 0);
        self.sent_bytes %= BYTES_PER_CREDIT;
    }

    fn add(&mut self, frames: u64, half_resets: u64) {
        self.frames = (self.frames + frames).min(CREDIT_MAX);
        self.half_resets = (self.half_resets + half_resets).min(2 * RESETS_MAX);
    }

    fn spend(&mut self, frames: u64, resets: u64) -> Result<(), Flood> {
        self.half_resets = self.half_resets.checked_sub(2 * resets).ok_or(Flood::Resets)?;
        self.frames = self.frames.checked_sub(frames).ok_or(Flood::Frames)?;
        Ok(())
    }
}

/// The head of a frame.
#[derive(Clone, Copy)]
struct Head {
    length: usize,
    kind: u8,
    flags: u8,
    stream: u32,
}

/// Finds the heads of frames in bytes that come in pieces.
#[derive(Default)]
struct Heads {
    head: [u8; HEAD_BYTES],
    head_bytes: usize,
    payload_left: usize,
}

impl Heads {
    fn pass(&mut self, mut bytes: &[u8], mut found: impl FnMut(Head)) {
        while !bytes.is_empty() {
            let skipped = self.payload_left.min(bytes.len());
            self.payload_left -= skipped;
            bytes = &bytes[skipped..];
            let taken = (HEAD_BYTES - self.head_bytes).min(bytes.len());
            if self.payload_left > 0 || taken == 0 {
                continue;
            }
            self.head[self.head_bytes..self.head_bytes + taken].copy_from_slice(&bytes[..taken]);
            self.head_bytes += taken;
            bytes = &bytes[taken..];
            if self.head_bytes == HEAD_BYTES {
                let [l0, l1, l2, kind, flags, s0, s1, s2, s3] = self.head;
                let length = u32::from_be_bytes([0, l0, l1, l2]) as usize;
                let stream = u32::from_be_bytes([s0 & 0x7f, s1, s2, s3]);
                (self.head_bytes, self.payload_left) = (0, length);
                found(Head { length, kind, flags, stream });
            }
        }
    }

    fn is_between(&self) -> bool {
        self.head_bytes == 0 && self.payload_left == 0
    }

    /// Whether the payload of a frame of that kind has begun and not ended.
    fn is_within(&self, kind: u8) -> bool {
        self.payload_left > 0 && self.head[3] == kind
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::{any, prop_assert, prop_assert_eq, proptest};

    use super::*;

    const WINDOW_UPDATE: u8 = 8;

    fn frame(kind: u8, flags: u8, stream: u32, payload: usize) -> Vec<u8> {
        let length = (payload as u32).to_be_bytes();
        let mut frame = vec![length[1], length[2], length[3], kind, flags];
        frame.extend(stream.to_be_bytes());
        frame.resize(HEAD_BYTES + payload, 0);
        frame
    }

    #[test]
    fn streams_open_and_end_whatever_the_pieces() {
        let received = [
            frame(SETTINGS, 0, 0, 18),
            frame(HEADERS, END_STREAM | END_HEADERS, 1, 30),
            frame(HEADERS, END_STREAM, 3, 30),
            frame(CONTINUATION, END_HEADERS, 3, 5),
            frame(HEADERS, END_HEADERS, 5, 30),
            frame(DATA, END_STREAM, 5, 0),
            frame(RST_STREAM, 0, 5, 4),
        ]
        .concat();
        let sent = [
            frame(SETTINGS, 0, 0, 6),
            frame(HEADERS, END_HEADERS, 1, 50),
            frame(DATA, 0, 1, 16_384),
            frame(HEADERS, END_HEADERS | END_STREAM, 3, 5),
        ]
        .concat();
        for piece in [1, 2, 7, 9, 10, 100, 100_000] {
            let mut frames = Frames::new(0);
            for bytes in received.chunks(piece) {
                frames.received(bytes, 0).expect("no flood");
            }
            assert_eq!((frames.open.as_slice(), frames.is_head_under_way()), (&[1, 3][..], false), "{piece}");
            for bytes in sent.chunks(piece) {
                frames.sent(bytes);
            }
            assert_eq!(frames.open, [1], "{piece}");
            frames.sent(&frame(DATA, END_STREAM, 1, 100)[..50]);
            assert_eq!((frames.open_count(), frames.farewell()), (0, None), "a frame is on its way");
        }
    }

    #[test]
    fn a_head_is_under_way_from_its_first_byte_to_its_last() {
        let mut frames = Frames::new(0);
        let whole = [frame(HEADERS, END_STREAM, 1, 10), frame(CONTINUATION, END_HEADERS, 1, 10)].concat();
        for (index, byte) in whole.iter().enumerate() {
            frames.received(&[*byte], 0).expect("no flood");
            let inside = index + 1 >= HEAD_BYTES && index + 1 < whole.len();
            assert_eq!(frames.is_head_under_way(), inside, "{index}");
        }
    }

    /// How many of these are taken at once.
    fn taken(frames: &mut Frames, kind: u8, flags: u8, payload: usize, now_ms: u64) -> (usize, Flood) {
        let bytes = frame(kind, flags, 1, payload);
        (0..).find_map(|count| frames.received(&bytes, now_ms).err().map(|flood| (count, flood))).expect("an end")
    }

    #[test]
    fn what_asks_for_nothing_needs_credit() {
        for (kind, flags, payload, expect) in [
            (SETTINGS, 0, 6, 1000),
            (PING, 0, 8, 1000),
            (PING, ACK, 8, 2000),
            (DATA, 0, 0, 2000),
            (DATA, 0, DATA_BYTES_MIN - 1, 2000),
            (WINDOW_UPDATE, 0, 4, 2000),
            (2, 0, 5, 2000),
            (99, 0, 5, 2000),
        ] {
            assert_eq!(taken(&mut Frames::new(0), kind, flags, payload, 0), (expect, Flood::Frames), "{kind}");
        }
        let mut frames = Frames::new(0);
        assert_eq!(taken(&mut frames, RST_STREAM, 0, 4, 0), (200, Flood::Resets));
        assert_eq!(taken(&mut frames, RST_STREAM, 0, 4, 1000), (10, Flood::Resets));
        assert_eq!(taken(&mut frames, RST_STREAM, 0, 4, 1_000_000), (200, Flood::Resets));
    }

    #[test]
    fn requests_and_answers_bring_credit() {
        let mut frames = Frames::new(0);
        // A client that reads confirms each frame, for the stream and for the connection.
        for _ in 0..100_000 {
            frames.sent(&frame(DATA, 0, 1, 16_384));
            frames.received(&frame(WINDOW_UPDATE, 0, 1, 4), 0).expect("no flood");
            frames.received(&frame(WINDOW_UPDATE, 0, 0, 4), 0).expect("no flood");
        }
        // One that takes back every third request may do so for ever, one that takes back all may not.
        let mut stream = 1;
        let mut ask = |frames: &mut Frames, reset: bool| {
            stream += 2;
            frames.received(&frame(HEADERS, END_HEADERS | END_STREAM, stream, 20), 0)?;
            if reset { frames.received(&frame(RST_STREAM, 0, stream, 4), 0) } else { Ok(()) }
        };
        for index in 0..100_000 {
            ask(&mut frames, index % 3 == 0).expect("no flood");
            frames.sent(&frame(HEADERS, END_HEADERS | END_STREAM, 1, 20));
            frames.open.clear();
        }
        let count = (0..).find(|_| ask(&mut frames, true).is_err()).expect("an end");
        assert!((390..=410).contains(&count), "{count}");
    }

    proptest! {
        #[test]
        fn no_bytes_panic_and_pieces_change_nothing(bytes in vec(any::<u8>(), 0..400), piece in 1_usize..50, now_ms in any::<u64>()) {
            let (mut whole, mut pieces) = (Frames::new(0), Frames::new(0));
            let flood = whole.received(&bytes, now_ms % (1 << 40));
            let floods: Vec<_> = bytes.chunks(piece).map(|piece| pieces.received(piece, now_ms % (1 << 40))).collect();
            prop_assert_eq!(flood.is_err(), floods.iter().any(Result::is_err));
            prop_assert_eq!((&whole.open, whole.is_head_under_way()), (&pieces.open, pieces.is_head_under_way()));
            whole.sent(&bytes);
            prop_assert!(whole.open_count() <= bytes.len());
        }
    }
}
