//! Decoders, opened so that the same packets always give the same pictures and samples.

use ffmpeg_next as ffmpeg;
use ffmpeg_next::codec::decoder::Opened;
use ffmpeg_next::ffi;

use super::source::Source;

/// A decoder for one stream, single-threaded.
pub struct Decoder {
    opened: Opened,
}

/// What a decoder did with a packet or was found to hold.
#[derive(Debug, PartialEq, Eq)]
pub enum Step {
    /// A frame came out.
    Frame,
    /// More packets are needed.
    Hungry,
    /// Everything has come out.
    Finished,
    /// What was sent could not be decoded.
    Damaged,
}

impl Decoder {
    /// Opens the decoder of `stream`; absent when there is none or it refuses the stream's parameters.
    pub fn open(source: &Source, stream: u32) -> Option<Self> {
        let stream = source.input().stream(stream as usize)?;
        let mut context = ffmpeg::codec::Context::from_parameters(stream.parameters()).ok()?;
        context.set_threading(ffmpeg::threading::Config { count: 1, ..Default::default() });
        if context.medium() == ffmpeg::media::Type::Video {
            // Without this the H.264 decoder guesses how many pictures it must hold back to sort them, and drops some while
            // it learns; the guess would depend on where decoding began. For sound it would mean that AAC of eight channels
            // is 7.1(wide), as the standard has it and next to no encoder means it.
            context.compliance(ffmpeg::codec::Compliance::Strict);
        }
        // SAFETY: the context is freshly made and owned here; the fields are plain integers.
        unsafe {
            let raw = context.as_mut_ptr();
            // Encoder delay is taken off by position (`AudioFacts::first_sample`), the same way wherever decoding begins.
            (*raw).flags2 |= ffi::AV_CODEC_FLAG2_SKIP_MANUAL;
            (*raw).pkt_timebase = stream.time_base().into();
        }
        let codec = match context.id() {
            // FFmpeg's own decoders of these do not look at the second picture that holds the transparency.
            ffmpeg::codec::Id::VP8 if has_alpha_beside(&stream) => ffmpeg::decoder::find_by_name("libvpx"),
            ffmpeg::codec::Id::VP9 if has_alpha_beside(&stream) => ffmpeg::decoder::find_by_name("libvpx-vp9"),
            _ => None,
        };
        let codec = codec.or_else(|| ffmpeg::decoder::find(context.id()))?;
        let opened = context.decoder().open_as(codec).ok()?;
        Some(Self { opened })
    }

    /// Gives the decoder a packet, or with none tells it that the stream ends. [`Step::Hungry`] when it was taken.
    pub fn send(&mut self, packet: Option<&ffmpeg::Packet>) -> Step {
        let sent = match packet {
            Some(packet) => self.opened.send_packet(packet),
            None => self.opened.send_eof(),
        };
        match sent {
            Ok(()) | Err(ffmpeg::Error::Eof) => Step::Hungry,
            Err(_) => Step::Damaged,
        }
    }

    /// Takes the next frame out into `frame`.
    pub fn receive(&mut self, frame: &mut ffmpeg::Frame) -> Step {
        match self.opened.receive_frame(frame) {
            Ok(()) => Step::Frame,
            Err(ffmpeg::Error::Eof) => Step::Finished,
            Err(ffmpeg::Error::Other { errno: libc::EAGAIN }) => Step::Hungry,
            Err(_) => Step::Damaged,
        }
    }

    /// From the next packet on, leaves out pictures that no other picture needs, and with `rough` the smoothing of blocks too.
    pub fn skim(&mut self, rough: bool) {
        // SAFETY: the context is open and owned here; both are plain settings that decoders look at for each packet.
        unsafe {
            let raw = self.opened.as_mut_ptr();
            (*raw).skip_frame = ffi::AVDiscard::AVDISCARD_NONREF;
            (*raw).skip_loop_filter = if rough { ffi::AVDiscard::AVDISCARD_ALL } else { ffi::AVDiscard::AVDISCARD_DEFAULT };
        }
    }

    /// Forgets everything sent so far.
    pub fn flush(&mut self) {
        self.opened.flush();
    }
}

/// Whether WebM carries the transparency of the stream's pictures beside them.
fn has_alpha_beside(stream: &ffmpeg::Stream<'_>) -> bool {
    stream.metadata().get("alpha_mode") == Some("1")
}
