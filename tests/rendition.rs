//! What a player gets to see: a rendition's init segment and media segments, read back by the system's `ffprobe` and
//! `ffmpeg`, and held against the plan.

use std::io::Write;
use std::ops::Range;
use std::process::Command;

use headwater::cmaf;
use headwater::title::{AAC_FRAME_SAMPLES, Plan, SegmentNumber, TrackId, TrackKind};
use headwater::worker::protocol::MadeSegment;
use tempfile::NamedTempFile;

use crate::harness::Opened;

/// Side of the small pictures that [`Rendition::pictures`] gives.
pub const SIDE: usize = 16;
/// The filters that make them.
pub const SHRINK: &str = "scale=16:16:flags=area,format=gray";

/// A whole rendition, or some segments of it, as one file.
pub struct Rendition {
    file: NamedTempFile,
    track: TrackId,
    /// How long a sample usually lasts, in ticks.
    sample_ticks: i64,
    /// When it begins and ends by the plan, in ticks.
    span: Range<i64>,
    timescale: u32,
}

/// A sample as a player finds it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Packet {
    /// When it is presented, in ticks.
    pub pts: i64,
    /// How long it lasts, in ticks.
    pub duration: i64,
    /// Whether it is a sync sample.
    pub key: bool,
}

impl Rendition {
    /// The init segment and `segments` after one another.
    pub fn new(opened: &Opened, track: TrackId, segments: &[MadeSegment]) -> Self {
        let mut file = tempfile::Builder::new().suffix(".mp4").tempfile().expect("a temporary file");
        file.write_all(&opened.init(track)).expect("written");
        for segment in segments {
            file.write_all(&segment.bytes).expect("written");
        }
        let sample_ticks = match track.kind {
            TrackKind::Video => opened.plan.timeline.frame_rate().frame_ticks(),
            TrackKind::Audio | TrackKind::Text => AAC_FRAME_SAMPLES,
        };
        let sample_ticks = i64::from(sample_ticks);
        let start = segments.first().map_or(0, |segment| first_of(&opened.plan, track, segment.number));
        let end = segments.last().map_or(0, |segment| end_of(&opened.plan, track, segment.number));
        let span = start as i64 * sample_ticks..end as i64 * sample_ticks;
        Self { file, track, sample_ticks, span, timescale: cmaf::timescale(&opened.plan, track) }
    }

    /// The file, for programs that read it.
    pub fn path(&self) -> &std::path::Path {
        self.file.path()
    }

    /// Checks the whole rendition: packets without gap from zero, key frames first, all of it decodable without a word from
    /// the decoder to exactly what was planned.
    pub fn prove(&self, plan: &Plan) {
        let track = self.track;
        self.prove_packets(plan);
        match track.kind {
            TrackKind::Video => assert_eq!(self.luma().len() as u64, plan.timeline.frame_count(), "{track}: frames"),
            TrackKind::Audio | TrackKind::Text => assert_eq!(self.sound().len() as u64, sound_length(plan, track), "{track}: samples"),
        }
    }

    fn prove_packets(&self, plan: &Plan) {
        let track = self.track;
        let mut packets = self.packets();
        let starts = plan.timeline.segments().map(|number| first_of(plan, track, number) as i64 * self.sample_ticks);
        for start in starts {
            let starting = packets.iter().find(|packet| packet.pts == start);
            assert!(starting.is_some_and(|packet| packet.key), "{track}: no key frame at {start}, where a segment starts");
        }
        packets.sort_unstable();
        let mut end = 0;
        for packet in packets {
            assert_eq!(packet.pts, end, "{track}: presentation has a gap or an overlap");
            assert_eq!(packet.duration % self.sample_ticks, 0, "{track}: a duration off the grid");
            end = packet.pts + packet.duration;
        }
    }

    /// The samples in decoding order.
    pub fn packets(&self) -> Vec<Packet> {
        let track = self.track;
        let asked = ["-v", "error", "-show_entries", "packet=pts,dts,flags:stream=time_base", "-of", "compact=p=0"];
        let out = Command::new("ffprobe").args(asked).arg(self.file.path()).output().expect("ffprobe");
        assert!(out.stderr.is_empty(), "{track}: {}", String::from_utf8_lossy(&out.stderr));
        let text = String::from_utf8(out.stdout).expect("text");
        let (mut packets, mut decoded) = (Vec::new(), Vec::new());
        for line in text.lines() {
            let value = |key: &str| line.split('|').find_map(|entry| entry.strip_prefix(key)?.strip_prefix('='));
            let number = |key: &str| value(key).and_then(|value| value.parse::<i64>().ok());
            if let Some(base) = value("time_base") {
                assert_eq!(base, format!("1/{}", self.timescale), "{track}: time base");
            } else if let (Some(pts), Some(dts), Some(flags)) = (number("pts"), number("dts"), value("flags")) {
                packets.push(Packet { pts, duration: 0, key: flags.starts_with('K') });
                decoded.push(dts);
            } else {
                assert!(line.is_empty(), "{track}: {line}");
            }
        }
        // FFmpeg moves the times of presentation so that none is before its decoding.
        let shift = packets.iter().map(|packet| packet.pts).min().unwrap_or(0) - self.span.start;
        let ends = decoded.iter().skip(1).copied().chain([self.span.end]);
        for ((packet, start), end) in packets.iter_mut().zip(&decoded).zip(ends) {
            packet.pts -= shift;
            packet.duration = end - start;
        }
        packets
    }

    /// Leaves the rendition as a file.
    pub fn copy_to(&self, path: &std::path::Path) {
        std::fs::copy(self.file.path(), path).expect("copied");
    }

    /// The first picture as it is stored, in planes one after the other.
    pub fn first_picture(&self) -> Vec<u8> {
        self.decode(&["-frames:v", "1", "-f", "rawvideo"])
    }

    /// What `ffprobe` says of the stream and its first picture: one `key=value` a line.
    pub fn described(&self) -> String {
        let asked = ["-v", "error", "-show_streams", "-show_frames", "-read_intervals", "%+#1"];
        let out = Command::new("ffprobe").args(asked).arg(self.file.path()).output().expect("ffprobe");
        assert!(out.status.success() && out.stderr.is_empty(), "{}", String::from_utf8_lossy(&out.stderr));
        String::from_utf8(out.stdout).expect("text")
    }

    /// Every picture in grey, shrunk to [`SIDE`] by [`SIDE`].
    pub fn pictures(&self) -> Vec<Vec<u8>> {
        let bytes = self.decode(&["-fps_mode", "passthrough", "-vf", SHRINK, "-f", "rawvideo"]);
        let mut packets = self.packets();
        packets.sort_unstable();
        assert_eq!(bytes.len(), packets.len() * SIDE * SIDE, "{}: bytes of {} pictures", self.track, packets.len());
        let pictures = bytes.chunks_exact(SIDE * SIDE).zip(packets);
        pictures.flat_map(|(picture, packet)| vec![picture.to_vec(); (packet.duration / self.sample_ticks) as usize]).collect()
    }

    /// The mean brightness of every picture.
    pub fn luma(&self) -> Vec<f32> {
        let mean = |picture: &Vec<u8>| picture.iter().map(|pixel| f32::from(*pixel)).sum::<f32>() / (SIDE * SIDE) as f32;
        self.pictures().iter().map(mean).collect()
    }

    /// Every sample of the first channel, which is the left one.
    pub fn sound(&self) -> Vec<f32> {
        self.channels().swap_remove(0)
    }

    /// Every sample of every channel: of stereo left and right; of 5.1 left, right, centre, low frequency, and the surrounds.
    pub fn channels(&self) -> Vec<Vec<f32>> {
        let count = self.channel_count();
        let bytes = self.decode(&["-f", "f32le"]);
        assert_eq!(bytes.len() % (4 * count), 0);
        let mut channels = vec![Vec::with_capacity(bytes.len() / 4 / count); count];
        for (index, bytes) in bytes.chunks_exact(4).enumerate() {
            channels[index % count].push(f32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]));
        }
        channels
    }

    fn channel_count(&self) -> usize {
        let asked = ["-v", "error", "-show_entries", "stream=channels", "-of", "csv=p=0"];
        let out = Command::new("ffprobe").args(asked).arg(self.file.path()).output().expect("ffprobe");
        String::from_utf8(out.stdout).expect("text").trim().parse().expect("a number of channels")
    }

    fn decode(&self, output: &[&str]) -> Vec<u8> {
        let mut command = Command::new("ffmpeg");
        command.args(["-nostdin", "-hide_banner", "-v", "info", "-nostats", "-i"]).arg(self.file.path()).args(output).arg("-");
        let out = command.output().expect("ffmpeg");
        let said = String::from_utf8_lossy(&out.stderr);
        let trouble = said.lines().find(|line| {
            let line = line.to_ascii_lowercase();
            ["error", "concealing", "invalid", "corrupt", "missing", "non-existing", "exceeds"].iter().any(|word| line.contains(word))
        });
        assert!(out.status.success() && trouble.is_none(), "{}: {said}", self.track);
        out.stdout
    }
}

/// Samples that an audio rendition has in all.
pub fn sound_length(plan: &Plan, track: TrackId) -> u64 {
    end_of(plan, track, plan.timeline.segments().last().expect("a segment")) * u64::from(AAC_FRAME_SAMPLES)
}

/// Index of the frame after a segment's last one in its rendition.
fn end_of(plan: &Plan, track: TrackId, number: SegmentNumber) -> u64 {
    match track.kind {
        TrackKind::Video => plan.timeline.frames(number).expect("a segment").end,
        TrackKind::Audio | TrackKind::Text => plan.audio_frames(track.index, number).expect("a segment").end,
    }
}

/// Index of a segment's first frame in its rendition.
pub fn first_of(plan: &Plan, track: TrackId, number: SegmentNumber) -> u64 {
    match track.kind {
        TrackKind::Video => plan.timeline.frames(number).expect("a segment").start,
        TrackKind::Audio | TrackKind::Text => plan.audio_frames(track.index, number).expect("a segment").start,
    }
}
