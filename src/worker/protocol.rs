//! What server and worker say to each other: length-prefixed postcard messages over the worker's standard input and output.
//!
//! The worker reads the source through the descriptor [`SOURCE_FD`]. One worker process serves one source.

use std::io::{self, Read, Write};

use bytes::Bytes;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::text::SourceText;
use crate::title::{CodecHeader, Loudness, Plan, Problem, SegmentNumber, SourceFacts, TrackId};

/// The descriptor under which a worker finds the source, open for reading.
pub const SOURCE_FD: i32 = 3;

/// Largest message either side accepts; a segment of a 4K rendition is a few MiB.
pub const MESSAGE_BYTES_MAX: u32 = 256 << 20;

/// What the server asks of a worker.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Request {
    /// Find out what the source holds. Answered by [`Reply::Surveyed`] or [`Reply::Refused`].
    Survey,
    /// Work on this plan from now on. Answered by [`Reply::Opened`] or [`Reply::Refused`].
    Open {
        /// What the survey found.
        facts: Box<SourceFacts>,
        /// What was planned from it.
        plan: Box<Plan>,
    },
    /// Make one segment of each of the tracks. Answered by one [`Reply::Segment`] a track, in any order, then
    /// [`Reply::Done`]; or by [`Reply::Refused`].
    Make {
        /// Which segment.
        number: SegmentNumber,
        /// Of which tracks.
        tracks: Vec<TrackId>,
    },
    /// Make the stills of the plan that is open: poster and storyboard. Answered by [`Reply::Stills`] or [`Reply::Refused`].
    Look,
    /// Measure how loud an audio stream is, all of it. Needs no plan. Answered by [`Reply::Heard`] or [`Reply::Refused`].
    Listen {
        /// Index of the stream in the container.
        stream: u32,
    },
}

/// What a worker answers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Reply {
    /// Work goes on; sent at least every second of it, so that silence means a hang.
    Alive {
        /// Bytes of the source read so far for this request, or frames made; only growth counts.
        progress: u64,
    },
    /// What the source holds.
    Surveyed(Box<Survey>),
    /// The codec header of each of the plan's tracks.
    Opened(Vec<(TrackId, CodecHeader)>),
    /// A finished segment.
    Segment(MadeSegment),
    /// Every segment asked for has been sent.
    Done,
    /// The request cannot be done, and why; the worker is still of use.
    Refused(Problem),
    /// The stills.
    Stills(MadeStills),
    /// How loud the stream is.
    Heard(Loudness),
}

/// What a survey found. The texts are not facts that plans are computed from again and again: they are stored as documents.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Survey {
    /// What the source holds.
    pub facts: SourceFacts,
    /// The text of each subtitle stream that has any, in the time of the source.
    pub texts: Vec<SourceText>,
}

/// A segment as the worker made it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MadeSegment {
    /// Of which track.
    pub track: TrackId,
    /// Which segment.
    pub number: SegmentNumber,
    /// `styp` and one or two chunks of `moof mdat`.
    pub bytes: Bytes,
    /// Planned frames (video) or samples (audio) the source did not have, and that were filled in.
    pub concealed: u64,
    /// Frames or samples of the source that the plan has no place for.
    pub dropped: u64,
}

/// The stills of a title as the worker made them: JPEG files.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MadeStills {
    /// The poster; absent when no picture could be decoded.
    pub poster: Option<Bytes>,
    /// Whether the poster is a picture attached to the sound.
    pub poster_is_cover: bool,
    /// The sheets of the storyboard, as [`Storyboard::of`](crate::title::Storyboard::of) the plan lays them out; none without
    /// pictures.
    pub sheets: Vec<Bytes>,
    /// For how long the title is black at its start, in milliseconds; 0 when it is not.
    pub black_start_ms: u64,
}

/// Writes one message.
///
/// # Errors
/// When the message is larger than [`MESSAGE_BYTES_MAX`] or the other side is gone.
pub fn write_message<T: Serialize>(to: &mut impl Write, message: &T) -> io::Result<()> {
    to.write_all(&encode(message)?)?;
    to.flush()
}

/// Reads one message; absent at a clean end of the stream.
///
/// # Errors
/// When the stream breaks off inside a message, or holds none.
pub fn read_message<T: DeserializeOwned>(from: &mut impl Read) -> io::Result<Option<T>> {
    let mut length = [0; 4];
    match from.read(&mut length[..1])? {
        0 => return Ok(None),
        _ => from.read_exact(&mut length[1..])?,
    }
    let mut body = vec![0; body_length(length)? as usize];
    from.read_exact(&mut body)?;
    decode(&body).map(Some)
}

/// A message with its length in front.
///
/// # Errors
/// When it is larger than [`MESSAGE_BYTES_MAX`].
pub fn encode<T: Serialize>(message: &T) -> io::Result<Vec<u8>> {
    let mut bytes = postcard::to_extend(message, vec![0; 4]).map_err(invalid)?;
    let length = u32::try_from(bytes.len() - 4).ok().filter(|length| *length <= MESSAGE_BYTES_MAX);
    let length = length.ok_or_else(|| invalid("the message is too large"))?;
    bytes[..4].copy_from_slice(&length.to_le_bytes());
    Ok(bytes)
}

/// The length of the body that the four bytes announce.
///
/// # Errors
/// When it is larger than [`MESSAGE_BYTES_MAX`].
pub fn body_length(prefix: [u8; 4]) -> io::Result<u32> {
    let length = u32::from_le_bytes(prefix);
    if length > MESSAGE_BYTES_MAX { Err(invalid("the message is too large")) } else { Ok(length) }
}

/// Reads a message's body.
///
/// # Errors
/// When the bytes are no message of that type.
pub fn decode<T: DeserializeOwned>(body: &[u8]) -> io::Result<T> {
    postcard::from_bytes(body).map_err(invalid)
}

fn invalid(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_read_back() {
        let made = MadeSegment {
            track: TrackId::video(2),
            number: SegmentNumber(7),
            bytes: Bytes::from_static(b"styp"),
            concealed: 1,
            dropped: 2,
        };
        let sent = [Reply::Alive { progress: 5 }, Reply::Segment(made), Reply::Done];
        let mut pipe = Vec::new();
        for reply in &sent {
            write_message(&mut pipe, reply).expect("written");
        }
        let mut from = pipe.as_slice();
        for reply in sent {
            assert_eq!(read_message::<Reply>(&mut from).expect("read"), Some(reply));
        }
        assert_eq!(read_message::<Reply>(&mut from).expect("the end"), None);
    }

    #[test]
    fn a_broken_stream_is_an_error_and_not_an_allocation() {
        assert!(read_message::<Reply>(&mut [255_u8, 255, 255, 255].as_slice()).is_err());
        assert!(read_message::<Reply>(&mut [9_u8, 0, 0, 0, 1].as_slice()).is_err());
        assert!(read_message::<Reply>(&mut [1_u8, 0, 0, 0, 77].as_slice()).is_err());
    }
}
