//! What is kept of a request until its line is written: one piece of memory of a fixed size, whatever the client sends.
//! It goes round between those who answer and the one who writes.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::time::Instant;

use http::header::{RANGE, REFERER, USER_AGENT};
use http::request::Parts;
use http::{StatusCode, Version};

use super::queue::Queue;
use crate::delivery::Told;
use crate::semantics::{CMCD_FIELDS, Client, cmcd_query_value};
use crate::server::Peer;

/// A text of the request that is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Text {
    Method,
    Path,
    Range,
    Referer,
    UserAgent,
    RequestId,
    CmcdQuery,
    CmcdFields,
}

impl Text {
    const ALL: [Self; 8] =
        [Self::Method, Self::Path, Self::Range, Self::Referer, Self::UserAgent, Self::RequestId, Self::CmcdQuery, Self::CmcdFields];

    /// How many of its bytes are kept. No path that names something is longer, and no usual value.
    const fn bytes_max(self) -> usize {
        match self {
            Self::Method => 16,
            Self::Range => 64,
            Self::RequestId => 128,
            Self::Path | Self::Referer | Self::UserAgent => 256,
            Self::CmcdFields => 768,
            Self::CmcdQuery => 1024,
        }
    }
}

const TEXTS_BYTES_MAX: usize = {
    let (mut sum, mut index) = (0, 0);
    while index < Text::ALL.len() {
        sum += Text::ALL[index].bytes_max();
        index += 1;
    }
    sum
};

/// The texts, one after the other; what is longer than its limit is cut off there.
pub(super) struct Texts {
    bytes: [u8; TEXTS_BYTES_MAX],
    ends: [u16; Text::ALL.len()],
    cut: [bool; Text::ALL.len()],
}

impl Texts {
    const NONE: Self = Self { bytes: [0; TEXTS_BYTES_MAX], ends: [0; Text::ALL.len()], cut: [false; Text::ALL.len()] };

    /// Takes those of a request in place of the former ones.
    fn take(&mut self, parts: &Parts) {
        let texts = self;
        texts.cut = [false; Text::ALL.len()];
        let mut used = 0;
        for text in Text::ALL {
            let start = used;
            let mut put = |piece: &[u8], index: usize| {
                let kept = piece.len().min(start + text.bytes_max() - used);
                texts.bytes[used..used + kept].copy_from_slice(&piece[..kept]);
                used += kept;
                texts.cut[index] |= kept < piece.len();
            };
            let field = |name| parts.headers.get(name).map_or(&[][..], |value: &http::HeaderValue| value.as_bytes());
            let index = text as usize;
            match text {
                Text::Method => put(parts.method.as_str().as_bytes(), index),
                Text::Path => put(parts.uri.path().as_bytes(), index),
                Text::Range => put(field(RANGE), index),
                Text::Referer => put(field(REFERER), index),
                Text::UserAgent => put(field(USER_AGENT), index),
                Text::RequestId => put(field(http::HeaderName::from_static("x-request-id")), index),
                Text::CmcdQuery => put(parts.uri.query().and_then(cmcd_query_value).unwrap_or_default().as_bytes(), index),
                Text::CmcdFields => {
                    let values = CMCD_FIELDS.iter().flat_map(|name| parts.headers.get_all(*name));
                    for (number, value) in values.enumerate() {
                        if number > 0 {
                            put(b",", index);
                        }
                        put(value.as_bytes(), index);
                    }
                }
            }
            // The sum of all limits fits.
            texts.ends[index] = used as u16;
        }
    }

    /// What is kept of a text; nothing where the request has none.
    pub(super) fn get(&self, text: Text) -> Option<&[u8]> {
        let index = text as usize;
        let start = index.checked_sub(1).map_or(0, |before| self.ends[before]);
        Some(&self.bytes[usize::from(start)..usize::from(self.ends[index])]).filter(|bytes| !bytes.is_empty())
    }

    /// Whether something of a text was cut off.
    pub(super) fn is_cut(&self, text: Text) -> bool {
        self.cut[text as usize]
    }
}

/// How the answer ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Ended {
    /// All of its body was taken by the connection.
    Complete,
    /// The connection, or the stream of it, ended before.
    ClientGone,
    /// The body could not be read to its end.
    Error,
}

impl Ended {
    /// The stable name.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Complete => "complete",
            Self::ClientGone => "client-gone",
            Self::Error => "error",
        }
    }
}

/// The answer as it was begun.
pub(super) struct Answered {
    pub(super) status: StatusCode,
    pub(super) told: Told,
    pub(super) body_bytes: u64,
    /// From the request's head to the answer's, in microseconds.
    pub(super) ttfb_us: u64,
}

/// What is known of a request when its answer begins.
pub(super) struct Facts {
    /// When the request came, in Unix milliseconds.
    pub(super) at_ms: i64,
    pub(super) began: Instant,
    pub(super) version: Version,
    pub(super) peer: Option<Peer>,
    pub(super) client: Option<Client>,
    /// Absent when the client left before there was an answer.
    pub(super) answered: Option<Answered>,
}

/// A request and what came of it. Its memory is used again for later requests.
pub(super) struct Record {
    /// Absent only while it stands for no request.
    facts: Option<Facts>,
    pub(super) texts: Texts,
    sent_bytes: AtomicU64,
    failed: AtomicBool,
    took_us: AtomicU64,
    /// Parts of the answer that are still on their way.
    holds: AtomicU32,
    queue: Option<Arc<Queue>>,
}

impl Default for Record {
    fn default() -> Self {
        Self {
            facts: None,
            texts: Texts::NONE,
            sent_bytes: AtomicU64::new(0),
            failed: AtomicBool::new(false),
            took_us: AtomicU64::new(0),
            holds: AtomicU32::new(0),
            queue: None,
        }
    }
}

impl Record {
    /// What is known of the request, if it stands for one.
    pub(super) fn facts(&self) -> Option<&Facts> {
        self.facts.as_ref()
    }

    /// Makes it stand for no request.
    pub(super) fn clear(&mut self) {
        (self.facts, self.queue) = (None, None);
    }

    /// Bytes of the body that the connection has taken.
    pub(super) fn sent_bytes(&self) -> u64 {
        self.sent_bytes.load(Ordering::Relaxed)
    }

    /// From the request's head to the last byte of the answer that was taken, in microseconds.
    pub(super) fn took_us(&self) -> u64 {
        self.took_us.load(Ordering::Relaxed)
    }

    pub(super) fn ended(&self) -> Ended {
        let answered = self.facts.as_ref().and_then(|facts| facts.answered.as_ref());
        let expected_bytes = answered.map(|answered| answered.body_bytes);
        if self.failed.load(Ordering::Relaxed) {
            Ended::Error
        } else if expected_bytes == Some(self.sent_bytes()) {
            Ended::Complete
        } else {
            Ended::ClientGone
        }
    }
}

/// A part of an answer that is on its way. With the last one the record goes to the log.
pub(super) struct Hold(Option<Arc<Record>>);

impl Hold {
    /// The first hold of a request's record.
    pub(super) fn first(queue: &Arc<Queue>, facts: Facts, parts: &Parts) -> Self {
        let mut record = queue.blank();
        // Nobody else knows a blank one.
        if let Some(blank) = Arc::get_mut(&mut record) {
            blank.texts.take(parts);
            blank.facts = Some(facts);
            blank.queue = Some(Arc::clone(queue));
            (*blank.sent_bytes.get_mut(), *blank.failed.get_mut()) = (0, false);
            (*blank.took_us.get_mut(), *blank.holds.get_mut()) = (0, 1);
        }
        Self(Some(record))
    }

    /// The connection has taken so many bytes of the body.
    pub(super) fn sent(&self, bytes: usize) {
        if let Some(record) = &self.0 {
            record.sent_bytes.fetch_add(bytes as u64, Ordering::Relaxed);
        }
    }

    /// The body cannot be read to its end.
    pub(super) fn fail(&self) {
        if let Some(record) = &self.0 {
            record.failed.store(true, Ordering::Relaxed);
        }
    }
}

impl Clone for Hold {
    fn clone(&self) -> Self {
        if let Some(record) = &self.0 {
            record.holds.fetch_add(1, Ordering::Relaxed);
        }
        Self(self.0.clone())
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        let Some(record) = self.0.take() else { return };
        // Whoever lets go last must see what the others have counted.
        if record.holds.fetch_sub(1, Ordering::AcqRel) > 1 {
            return;
        }
        let (Some(facts), Some(queue)) = (&record.facts, &record.queue) else { return };
        record.took_us.store(microseconds(facts.began), Ordering::Relaxed);
        let queue = Arc::clone(queue);
        queue.offer(record);
    }
}

/// Time since then, in microseconds.
pub(super) fn microseconds(since: Instant) -> u64 {
    u64::try_from(since.elapsed().as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    #[test]
    fn texts_are_kept_within_their_limits() {
        let long = "u".repeat(1000);
        let (parts, ()) = Request::get(format!("/a?x=1&CMCD={long}{long}"))
            .header("user-agent", &long)
            .header("cmcd-status", "bs")
            .header("cmcd-request", "bl=1")
            .header("cmcd-request", "su")
            .header("x-request-id", "id-1")
            .body(())
            .expect("a request")
            .into_parts();
        let mut texts = Texts::NONE;
        texts.take(&parts);
        for (text, expect) in [
            (Text::Method, Some(&b"GET"[..])),
            (Text::Path, Some(b"/a")),
            (Text::Range, None),
            (Text::Referer, None),
            (Text::UserAgent, Some(&long.as_bytes()[..256])),
            (Text::RequestId, Some(b"id-1")),
            (Text::CmcdFields, Some(b"bl=1,su,bs")),
        ] {
            assert_eq!(texts.get(text), expect, "{text:?}");
            assert_eq!(texts.is_cut(text), text == Text::UserAgent, "{text:?}");
        }
        assert_eq!((texts.get(Text::CmcdQuery).map(<[u8]>::len), texts.is_cut(Text::CmcdQuery)), (Some(1024), true));
    }
}
