//! What a player gets to see: a rendition's init segment and media segments, read back by the system's `ffprobe` and
//! `ffmpeg`, and held against the plan.

use std::io::Write;
use std::process::Command;

use headwater::cmaf;
use headwater::title::{AAC_FRAME_SAMPLES, AUDIO_SAMPLE_RATE, Plan, SegmentNumber, TrackId, TrackKind};
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
}

impl Rendition {
    /// The init segment and `segments` after one another.
    pub fn new(opened: &Opened, track: TrackId, segments: &[MadeSegment]) -> Self {
        let mut file = tempfile::Builder::new().suffix(".mp4").tempfile().expect("a temporary file");
        file.write_all(&opened.init(track)).expect("written");
        for segment in segments {
            file.write_all(&segment.bytes).expect("written");
        }
        Self { file, track }
    }

    /// Checks the whole rendition: packets without gap from zero, key frames first, all of it decodable without a word from
    /// the decoder to exactly what was planned.
    pub fn prove(&self, plan: &Plan) {
        let track = self.track;
        self.prove_packets(plan);
        match track.kind {
            TrackKind::Video => assert_eq!(self.luma().len() as u64, plan.timeline.frame_count(), "{track}: frames"),
            TrackKind::Audio | TrackKind::Text => assert_eq!(self.sound().len() as u64, sound_length(plan), "{track}: samples"),
        }
    }

    fn prove_packets(&self, plan: &Plan) {
        let track = self.track;
        let asked = ["-v", "error", "-show_entries", "packet=pts,flags:stream=time_base", "-of", "compact=p=0"];
        let out = Command::new("ffprobe").args(asked).arg(self.file.path()).output().expect("ffprobe");
        assert!(out.stderr.is_empty(), "{track}: {}", String::from_utf8_lossy(&out.stderr));
        let text = String::from_utf8(out.stdout).expect("text");
        let mut packets = Vec::new();
        for line in text.lines() {
            let value = |key: &str| line.split('|').find_map(|entry| entry.strip_prefix(key)?.strip_prefix('='));
            let number = |key: &str| value(key).and_then(|value| value.parse::<i64>().ok());
            if let Some(base) = value("time_base") {
                assert_eq!(base, format!("1/{}", cmaf::timescale(plan, track)), "{track}: time base");
            } else if let (Some(pts), Some(flags)) = (number("pts"), value("flags")) {
                packets.push((pts, flags.starts_with('K')));
            } else {
                assert!(line.is_empty(), "{track}: {line}");
            }
        }
        let starts: Vec<u64> = plan.timeline.segments().map(|number| first_of(plan, track, number)).collect();
        for start in starts {
            let (_, key) = packets[start as usize];
            assert!(key, "{track}: packet {start} starts a segment and no key frame");
        }
        packets.sort_unstable();
        // Where pictures are decoded in another order than shown, FFmpeg moves all of them by its largest negative offset.
        // That presentation starts at zero is verified of every segment.
        let start = packets[0].0;
        let ticks = match track.kind {
            TrackKind::Video => plan.timeline.frame_rate().frame_ticks(),
            TrackKind::Audio | TrackKind::Text => AAC_FRAME_SAMPLES,
        };
        for (index, (pts, _)) in (0..).zip(packets) {
            assert_eq!(pts, start + index * i64::from(ticks), "{track}: presentation has a gap or an overlap");
        }
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
        assert_eq!(bytes.len() % (SIDE * SIDE), 0);
        bytes.chunks_exact(SIDE * SIDE).map(<[u8]>::to_vec).collect()
    }

    /// The mean brightness of every picture.
    pub fn luma(&self) -> Vec<f32> {
        let mean = |picture: &Vec<u8>| picture.iter().map(|pixel| f32::from(*pixel)).sum::<f32>() / (SIDE * SIDE) as f32;
        self.pictures().iter().map(mean).collect()
    }

    /// Every sample of the left channel.
    pub fn sound(&self) -> Vec<f32> {
        let bytes = self.decode(&["-f", "f32le"]);
        assert_eq!(bytes.len() % 8, 0);
        let samples = bytes.chunks_exact(4).map(|bytes| f32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]));
        samples.step_by(2).collect()
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
pub fn sound_length(plan: &Plan) -> u64 {
    let last = plan.timeline.segments().last().expect("a segment");
    let frames = plan.timeline.audio_frames(last, AUDIO_SAMPLE_RATE, AAC_FRAME_SAMPLES).expect("its frames");
    frames.end * u64::from(AAC_FRAME_SAMPLES)
}

/// Index of a segment's first frame in its rendition.
pub fn first_of(plan: &Plan, track: TrackId, number: SegmentNumber) -> u64 {
    match track.kind {
        TrackKind::Video => plan.timeline.frames(number).expect("a segment").start,
        TrackKind::Audio | TrackKind::Text => {
            plan.timeline.audio_frames(number, AUDIO_SAMPLE_RATE, AAC_FRAME_SAMPLES).expect("a segment").start
        }
    }
}
