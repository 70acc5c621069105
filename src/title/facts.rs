//! What the survey found in a source: facts only, no decisions.
//!
//! Timestamps are in the ticks of the stream they belong to ([`TimeBase`]), as the container gives them, mended at the source's
//! [`Seam`]s.

use serde::{Deserialize, Serialize};

use super::colour::UNSPECIFIED;
use super::{AacFacts, AvcFacts, CopyDoubt, Ratio, Seam};

/// Length of one tick of a stream in seconds, as a fraction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TimeBase {
    /// Numerator, above zero.
    pub num: u32,
    /// Denominator, above zero.
    pub den: u32,
}

impl TimeBase {
    /// The time of `ticks`, exact, in seconds.
    pub fn seconds(self, ticks: i64) -> Ratio {
        Ratio::new(i128::from(ticks) * i128::from(self.num), i128::from(self.den))
    }

    /// The last tick at or before `seconds`; saturates at the ends of `i64`.
    pub fn ticks_at(self, seconds: Ratio) -> i64 {
        let ticks = (seconds * Ratio::new(i128::from(self.den), i128::from(self.num))).floor().to_integer();
        i64::try_from(ticks).unwrap_or(if ticks < 0 { i64::MIN } else { i64::MAX })
    }
}

/// A place where decoding of a video stream can begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyFrame {
    /// Presentation time in ticks.
    pub pts: i64,
    /// Decoding time in ticks, where the container has one.
    pub dts: Option<i64>,
    /// Byte offset of its packet in the source, where the demuxer tells it.
    pub position: Option<u64>,
}

/// How fields are woven into frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum FieldOrder {
    /// The stream says nothing.
    Unknown,
    /// Whole frames.
    Progressive,
    /// Two fields a frame, the upper one shown first.
    TopFirst,
    /// Two fields a frame, the lower one shown first.
    BottomFirst,
}

/// What looking at some pictures of a stream shows of fields, flags aside.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScanFacts {
    /// Pictures looked at.
    pub pictures: u32,
    /// Of these, combed like two fields of which the upper one is earlier.
    pub top_first: u32,
    /// Combed like two fields of which the lower one is earlier.
    pub bottom_first: u32,
    /// Whole frames; what is left of the pictures shows nothing either way, as stills do.
    pub progressive: u32,
    /// Pictures whose moving parts are torn into lines, and pictures in which too little moves to tell.
    pub torn: u32,
    /// Pictures one field of which repeats that of the picture before.
    pub repeated: u32,
    /// Pictures that the stream itself flags as interlaced.
    pub flagged: u32,
    /// Pictures flagged as interlaced with the upper field first.
    pub flagged_top_first: u32,
    /// Pictures flagged to be shown for a field longer.
    pub flagged_repeat: u32,
    /// Whether there are packets that hold a single field each, two to a picture.
    pub split: bool,
}

/// A place where pictures are missing from a steady rate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hole {
    /// When the picture before it is shown, in ticks.
    pub pts: i64,
    /// Pictures missing after that.
    pub count: u64,
}

/// The turn and mirror that make the stored picture upright, applied in this order: mirror, then turn.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Orientation {
    /// Mirror left and right first.
    pub mirror: bool,
    /// Then turn clockwise by this many quarter turns, 0 to 3.
    pub quarter_turns: u8,
}

impl Orientation {
    /// Whether width and height trade places.
    pub fn swaps_sides(self) -> bool {
        self.quarter_turns % 2 == 1
    }
}

/// Colour description by the code points of ITU-T H.273; 2 means unspecified.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ColourFacts {
    /// Whether black is 0 and white the largest code (JPEG range); absent when the source does not say.
    pub full_range: Option<bool>,
    /// ColourPrimaries, H.273 8.1.
    pub primaries: u8,
    /// TransferCharacteristics, H.273 8.2.
    pub transfer: u8,
    /// MatrixCoefficients, H.273 8.3.
    pub matrix: u8,
}

/// The display that a picture was mastered on (SMPTE ST 2086), in the units that HEVC and its containers use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MasteringDisplay {
    /// Chromaticity of red, green and blue, x and y in units of 1/50000.
    pub primaries: [(u16, u16); 3],
    /// Chromaticity of white, x and y in units of 1/50000.
    pub white: (u16, u16),
    /// Luminance of its white in units of 1/10000 cd/m².
    pub luminance_max: u32,
    /// Luminance of its black in units of 1/10000 cd/m².
    pub luminance_min: u32,
}

/// How bright the pictures are (CTA-861.3), in cd/m²; 0 means unknown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContentLight {
    /// The brightest pixel (MaxCLL).
    pub max_nits: u16,
    /// The brightest picture's average (MaxFALL).
    pub average_nits: u16,
}

/// What a source says of its brightness beside the colour description.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LightFacts {
    /// The display it was mastered on.
    pub mastering: Option<MasteringDisplay>,
    /// How bright its pictures are.
    pub content: Option<ContentLight>,
}

/// What a source has of Dolby Vision: what its decoder configuration record declares, or what its pictures show.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DolbyVision {
    /// The profile, such as 5 or 8.
    pub profile: u8,
    /// What its pictures are without its metadata: 1 HDR10, 2 SDR, 4 HLG, 6 HDR10 of a disc, 0 none of these.
    pub compatibility: u8,
    /// Whether its metadata was found beside its pictures, in a form that can be read.
    #[serde(default)]
    pub with_metadata: bool,
}

/// A video stream.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VideoFacts {
    /// Index of the stream in the container.
    pub stream: u32,
    /// FFmpeg's name of the codec, such as `h264`.
    pub codec: String,
    /// FFmpeg's name of the profile, if it has one.
    pub profile: Option<String>,
    /// Stored width in pixels.
    pub width: u32,
    /// Stored height in pixels.
    pub height: u32,
    /// Width of a pixel over its height, as a fraction; (1, 1) when square or unknown.
    pub sample_aspect: (u32, u32),
    /// How to make the picture upright.
    pub orientation: Orientation,
    /// FFmpeg's name of the pixel format, such as `yuv420p`.
    pub pixel_format: String,
    /// Bits of one component.
    pub bit_depth: u8,
    /// Colour description.
    pub colour: ColourFacts,
    /// Brightness of mastering display and pictures, where the source tells it.
    pub light: LightFacts,
    /// Dolby Vision, where the container declares it or the pictures show it.
    pub dolby_vision: Option<DolbyVision>,
    /// Width of a pixel over its height as the bitstream has it where it begins, whatever the container says;
    /// (0, 1) when it says nothing.
    pub coded_aspect: (u32, u32),
    /// How often the size of the stored picture changes after the first, as far as packets tell.
    pub size_change_count: u64,
    /// Interlacing as flagged.
    pub field_order: FieldOrder,
    /// Interlacing as seen; absent when nobody looked because it could not be.
    pub scan: Option<ScanFacts>,
    /// Length of a tick.
    pub time_base: TimeBase,
    /// Presentation time of the first picture.
    pub first_pts: i64,
    /// Presentation time of the last picture.
    pub last_pts: i64,
    /// When the last picture ends.
    pub end_pts: i64,
    /// Pictures in the stream.
    pub frame_count: u64,
    /// Median distance between pictures in ticks; 0 with fewer than two pictures.
    pub interval_median: i64,
    /// A quarter of the distances between pictures are at most this, in ticks: the pace of the quick parts.
    pub interval_quick: i64,
    /// Neighbouring distances that add up alike although one is half as long again as the other: film shown for three fields
    /// and two in turn.
    pub interval_paired_count: u64,
    /// The sum of what they add up to, in ticks.
    pub interval_paired_ticks: i64,
    /// Largest distance between pictures in ticks.
    pub interval_max: i64,
    /// Pictures whose distance to the next is within an eighth of the median.
    pub interval_regular_count: u64,
    /// Sum of those distances in ticks. With their number it gives the pace, whatever is missing in between and however
    /// coarsely single timestamps are rounded.
    pub interval_regular_ticks: i64,
    /// Frames a second as the container or bitstream declares it.
    pub declared_rate: Option<(u32, u32)>,
    /// Places where decoding can begin, by rising `pts`, at least half a second apart.
    pub key_frames: Vec<KeyFrame>,
    /// Pictures before the first key frame, which cannot be decoded.
    pub undecodable_lead_count: u64,
    /// What copying it takes, or why it cannot be copied.
    pub avc: Result<AvcFacts, CopyDoubt>,
    /// The first places where pictures are missing from a steady rate.
    pub holes: Vec<Hole>,
    /// Pictures missing in all such places.
    pub missing_count: u64,
}

impl VideoFacts {
    /// Facts of which only these are known yet: upright, square pictures of 8 bits in 4:2:0 that say nothing of their colours,
    /// and none of them there.
    pub fn bare(width: u32, height: u32, time_base: TimeBase) -> Self {
        Self {
            stream: 0,
            codec: String::new(),
            profile: None,
            width,
            height,
            sample_aspect: (1, 1),
            orientation: Orientation::default(),
            pixel_format: "yuv420p".into(),
            bit_depth: 8,
            colour: ColourFacts { full_range: None, primaries: UNSPECIFIED, transfer: UNSPECIFIED, matrix: UNSPECIFIED },
            light: LightFacts::default(),
            dolby_vision: None,
            coded_aspect: (0, 1),
            size_change_count: 0,
            field_order: FieldOrder::Unknown,
            scan: None,
            time_base,
            first_pts: 0,
            last_pts: 0,
            end_pts: 0,
            frame_count: 0,
            interval_median: 0,
            interval_quick: 0,
            interval_paired_count: 0,
            interval_paired_ticks: 0,
            interval_max: 0,
            interval_regular_count: 0,
            interval_regular_ticks: 0,
            declared_rate: None,
            key_frames: Vec::new(),
            undecodable_lead_count: 0,
            avc: Err(CopyDoubt::Codec),
            holes: Vec::new(),
            missing_count: 0,
        }
    }
}

/// A place in an audio stream whose sample position is known exactly.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AudioAnchor {
    /// Presentation time of a packet, in ticks.
    pub pts: i64,
    /// Byte offset of that packet in the source, where the demuxer tells it.
    pub position: Option<u64>,
    /// Position of the packet's first sample on the stream's own sample clock (samples at `sample_rate`; 0 is time zero of
    /// the source).
    pub sample: i64,
    /// Where sound at another rate than that clock's goes on: the place on the clock where it began, and its own samples since.
    pub retuned: Option<(i64, i64)>,
}

/// What a container says an audio stream is for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AudioRoles {
    /// It describes the picture for those who do not see it.
    pub described: bool,
    /// Somebody talks about the film.
    pub commentary: bool,
    /// It is in the language that the film was made in.
    pub original: bool,
    /// It was dubbed.
    pub dubbed: bool,
}

/// An audio stream.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AudioFacts {
    /// Index of the stream in the container.
    pub stream: u32,
    /// FFmpeg's name of the codec, such as `aac`.
    pub codec: String,
    /// FFmpeg's name of the profile, if it has one.
    pub profile: Option<String>,
    /// Samples a second.
    pub sample_rate: u32,
    /// Channels.
    pub channels: u32,
    /// FFmpeg's name of the layout, such as `5.1(side)`; absent where neither the source nor usage says what its channels are.
    pub layout: Option<String>,
    /// Language as tagged in the container (usually ISO 639-2), if it is.
    pub language: Option<String>,
    /// The track's title as tagged, if it is.
    pub label: Option<String>,
    /// Whether the container marks it as the default.
    pub default: bool,
    /// What the container says it is for.
    pub roles: AudioRoles,
    /// Length of a tick.
    pub time_base: TimeBase,
    /// First audible sample on the stream's sample clock, encoder delay taken off.
    pub first_sample: i64,
    /// One past the last sample.
    pub end_sample: i64,
    /// Known positions by rising `sample`, about a second apart, and one after each gap or jump.
    pub anchors: Vec<AudioAnchor>,
    /// Gaps and jumps of the timestamps.
    pub discontinuity_count: u64,
    /// What copying it takes, or why it cannot be copied.
    pub aac: Result<AacFacts, CopyDoubt>,
    /// How often the sample rate or the channels change.
    pub form_change_count: u64,
}

impl AudioFacts {
    /// The time of a sample of the stream's clock, in seconds.
    pub fn seconds(&self, sample: i64) -> Ratio {
        Ratio::new(i128::from(sample), i128::from(self.sample_rate.max(1)))
    }
}

/// What the cues of a subtitle stream are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum SubtitleForm {
    /// Text that can be read.
    Text,
    /// Pictures.
    Bitmap,
    /// Something that no decoder is there for.
    Unknown,
}

/// A text or picture subtitle stream.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SubtitleFacts {
    /// Index of the stream in the container.
    pub stream: u32,
    /// FFmpeg's name of the codec, such as `subrip`.
    pub codec: String,
    /// Language as tagged, if it is.
    pub language: Option<String>,
    /// The track's title as tagged, if it is.
    pub label: Option<String>,
    /// What its cues are.
    pub form: SubtitleForm,
    /// Whether the container marks it as the default.
    pub default: bool,
    /// Whether the container marks it as what every viewer needs.
    pub forced: bool,
    /// Whether the container marks it as meant for those who do not hear.
    pub hearing_impaired: bool,
    /// Cues that were read; 0 unless they are text.
    pub cue_count: u64,
    /// Cues that could not be read, or are beyond what is taken of a source.
    pub damaged_count: u64,
}

/// A stream that no track is made of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OtherStream {
    /// Index of the stream in the container.
    pub stream: u32,
    /// What it is, in a word: `data`, `attachment`, `picture`, `video`.
    pub kind: String,
    /// FFmpeg's name of the codec.
    pub codec: String,
}

/// What one stream turned out to be.
#[expect(clippy::large_enum_variant, reason = "a source has few streams, and few sources are held at a time")]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum StreamFacts {
    /// Pictures.
    Video(VideoFacts),
    /// Sound.
    Audio(AudioFacts),
    /// Subtitles.
    Subtitle(SubtitleFacts),
    /// Anything else.
    Other(OtherStream),
}

/// Everything the survey found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceFacts {
    /// FFmpeg's name of the demuxer, such as `mov,mp4,m4a,3gp,3g2,mj2`.
    pub container: String,
    /// Length of the source in bytes.
    pub bytes: u64,
    /// Duration that the container's header claims, in milliseconds.
    pub declared_duration_ms: Option<i64>,
    /// The streams by rising index.
    pub streams: Vec<StreamFacts>,
    /// Packets the demuxer marked as damaged, and places where reading had to skip ahead.
    pub corrupt_packet_count: u64,
    /// Where clocks leap. All other times here are mended by them.
    pub seams: Vec<Seam>,
    /// Whether the file ends before its header says that it does.
    pub cut_off: bool,
}

impl SourceFacts {
    /// The video streams by rising index.
    pub fn videos(&self) -> impl Iterator<Item = &VideoFacts> {
        self.streams.iter().filter_map(|stream| match stream {
            StreamFacts::Video(video) => Some(video),
            _ => None,
        })
    }

    /// The audio streams by rising index.
    pub fn audios(&self) -> impl Iterator<Item = &AudioFacts> {
        self.streams.iter().filter_map(|stream| match stream {
            StreamFacts::Audio(audio) => Some(audio),
            _ => None,
        })
    }

    /// The subtitle streams by rising index.
    pub fn subtitles(&self) -> impl Iterator<Item = &SubtitleFacts> {
        self.streams.iter().filter_map(|stream| match stream {
            StreamFacts::Subtitle(subtitle) => Some(subtitle),
            _ => None,
        })
    }

    /// The video stream with that index in the container.
    pub fn video(&self, stream: u32) -> Option<&VideoFacts> {
        self.videos().find(|video| video.stream == stream)
    }

    /// The audio stream with that index in the container.
    pub fn audio(&self, stream: u32) -> Option<&AudioFacts> {
        self.audios().find(|audio| audio.stream == stream)
    }
}
