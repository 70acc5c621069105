//! The plan: everything a player will ever be told about a title, computed from the survey alone.

use serde::{Deserialize, Serialize};

use super::frame_rate::is_constant;
use super::{
    AudioFacts, FrameRate, Ladder, Orientation, Problem, ProblemCode, Ratio, Remark, RemarkCode, Severity, SourceFacts, Timeline, TrackId,
    TrackKind, VideoFacts, choose_frame_rate, fit_ladder,
};

/// Samples a second of every audio track.
pub const AUDIO_SAMPLE_RATE: u32 = 48_000;
/// Samples of one AAC-LC frame (ISO 14496-3 4.5.1.1).
pub const AAC_FRAME_SAMPLES: u32 = 1024;

/// How titles are planned; from the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlanPolicy {
    /// Aimed length of a segment in milliseconds.
    pub segment_ms: u32,
    /// Highest frame rate of the output.
    pub frame_rate_max: u32,
    /// The ladder.
    pub ladder: Ladder,
    /// x264's preset, such as `veryfast`.
    pub preset: String,
    /// Bit rate of a stereo audio track in bits a second.
    pub audio_bps: u32,
    /// Longest title in milliseconds.
    pub duration_max_ms: u64,
    /// Most pixels of a source picture.
    pub pixels_max: u64,
}

/// How a video track's pictures are encoded. All rates are in bits and bits a second.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VideoEncoding {
    /// x264's preset.
    pub preset: String,
    /// Constant rate factor in tenths.
    pub crf_tenths: u16,
    /// Highest rate over the length of the buffer.
    pub maxrate_bps: u32,
    /// The decoder's buffer.
    pub bufsize_bits: u32,
}

/// One video rendition.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VideoTrack {
    /// Name of the rendition, such as `720p`.
    pub name: String,
    /// Width in square pixels, even.
    pub width: u32,
    /// Height in square pixels, even.
    pub height: u32,
    /// How it is encoded.
    pub encoding: VideoEncoding,
}

/// One audio rendition: AAC-LC, [`AUDIO_SAMPLE_RATE`], stereo.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AudioTrack {
    /// Index of the source's stream.
    pub stream: u32,
    /// What a player's menu shows; unique in the plan.
    pub name: String,
    /// Language as BCP 47, if the source tells it.
    pub language: Option<String>,
    /// Whether it plays when nobody chose.
    pub default: bool,
    /// Channels.
    pub channels: u8,
    /// Bit rate in bits a second.
    pub bit_rate_bps: u32,
}

/// A title's plan: the timeline, and the tracks that are cut along it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// Time of the source that is shown at presentation time zero, in seconds.
    pub origin: Ratio,
    /// Frame grid and cuts, shared by all tracks. For a title without pictures the grid is that of AAC frames.
    pub timeline: Timeline,
    /// Index of the source's video stream; absent for a title without pictures.
    pub video_stream: Option<u32>,
    /// How the picture is made upright.
    pub orientation: Orientation,
    /// Video renditions, largest first; all from one stream.
    pub video: Vec<VideoTrack>,
    /// Audio renditions, the default one first.
    pub audio: Vec<AudioTrack>,
}

impl Plan {
    /// All tracks: video largest first, then audio.
    pub fn tracks(&self) -> impl Iterator<Item = TrackId> + use<> {
        let (video, audio) = (self.video.len() as u8, self.audio.len() as u8);
        (0..video).map(TrackId::video).chain((0..audio).map(TrackId::audio))
    }

    /// Whether the plan has that track.
    pub fn has(&self, track: TrackId) -> bool {
        match track.kind {
            TrackKind::Video => usize::from(track.index) < self.video.len(),
            TrackKind::Audio => usize::from(track.index) < self.audio.len(),
        }
    }

    /// Segments of all tracks together.
    pub fn segments_total(&self) -> u64 {
        u64::from(self.timeline.segment_count()) * (self.video.len() + self.audio.len()) as u64
    }
}

/// Why a surveyed source cannot become a title.
pub type PlanRefusal = Problem;

/// Plans a title from what the survey found, and says in remarks what was found and decided.
///
/// # Errors
/// A [`Problem`] when there is nothing to show or play, or when the source is beyond the policy's limits.
pub fn plan(facts: &SourceFacts, policy: &PlanPolicy) -> Result<(Plan, Vec<Remark>), PlanRefusal> {
    let mut remarks = Vec::new();
    let picture = facts
        .videos()
        .filter(|video| video.frame_count > 0)
        .max_by_key(|video| (u64::from(video.width) * u64::from(video.height), std::cmp::Reverse(video.stream)));
    let sounds: Vec<&AudioFacts> = facts.audios().filter(|audio| audio.end_sample > audio.first_sample).collect();
    if picture.is_none() && sounds.is_empty() {
        let code = if facts.videos().next().is_some() || facts.audios().next().is_some() {
            ProblemCode::NoSamples
        } else {
            ProblemCode::NoPictureOrSound
        };
        return Err(Problem::new(code));
    }
    let span = Span::of(picture, &sounds);
    let frame_rate = match picture {
        Some(video) => choose_frame_rate(video, policy.frame_rate_max),
        None => FrameRate::new(AUDIO_SAMPLE_RATE, AAC_FRAME_SAMPLES).ok_or_else(|| Problem::new(ProblemCode::Corrupt))?,
    };
    let origin = match picture {
        Some(video) => grid_origin(video.time_base.seconds(video.first_pts), span.start, frame_rate),
        None => span.start,
    };
    let duration = span.end - origin;
    if (duration * 1000).to_integer() > i128::from(policy.duration_max_ms) {
        let hours = (duration / 3600).to_integer();
        return Err(Problem::with_detail(ProblemCode::BeyondLimits, format!("it lasts {hours} hours")));
    }
    let mut frame_count = (duration * frame_rate.per_second()).round().to_integer();
    if let Some(video) = picture {
        let last = ((video.time_base.seconds(video.last_pts) - origin) * frame_rate.per_second()).round().to_integer();
        frame_count = frame_count.max(last + 1);
        remarks.extend(picture_remarks(video, frame_rate));
    }
    let timeline = Timeline::even(frame_rate, u64::try_from(frame_count).unwrap_or(1), policy.segment_ms);
    remarks.extend(stream_remarks(facts, picture, &sounds, timeline.duration_ms()));
    let plan = Plan {
        origin,
        video_stream: picture.map(|video| video.stream),
        orientation: picture.map(|video| video.orientation).unwrap_or_default(),
        video: picture.map_or(Ok(Vec::new()), |video| video_tracks(video, frame_rate, policy))?,
        audio: audio_tracks(&sounds, policy),
        timeline,
    };
    Ok((plan, remarks))
}

/// When the first and the last of picture and sound begin and end, in seconds of the source's clock.
struct Span {
    start: Ratio,
    end: Ratio,
}

impl Span {
    fn of(picture: Option<&VideoFacts>, sounds: &[&AudioFacts]) -> Self {
        let video = picture.map(|video| (video.time_base.seconds(video.first_pts), video.time_base.seconds(video.end_pts)));
        let audio = sounds.iter().map(|audio| (audio_seconds(audio, audio.first_sample), audio_seconds(audio, audio.end_sample)));
        video
            .into_iter()
            .chain(audio)
            .fold(None, |span: Option<Self>, (start, end)| match span {
                None => Some(Self { start, end }),
                Some(span) => Some(Self { start: span.start.min(start), end: span.end.max(end) }),
            })
            .unwrap_or(Self { start: Ratio::from_integer(0), end: Ratio::from_integer(0) })
    }
}

fn audio_seconds(audio: &AudioFacts, sample: i64) -> Ratio {
    Ratio::new(i128::from(sample), i128::from(audio.sample_rate.max(1)))
}

/// The latest time at or before `start` that lies on the frame grid through `first_picture`, so that every picture of a
/// source with a constant rate falls on a slot of its own, whatever the sound does.
fn grid_origin(first_picture: Ratio, start: Ratio, frame_rate: FrameRate) -> Ratio {
    let frames_before = ((first_picture - start) * frame_rate.per_second()).ceil();
    first_picture - frames_before / frame_rate.per_second()
}

fn video_tracks(video: &VideoFacts, frame_rate: FrameRate, policy: &PlanPolicy) -> Result<Vec<VideoTrack>, Problem> {
    let pixels = u64::from(video.width) * u64::from(video.height);
    if pixels > policy.pixels_max {
        let detail = format!("its picture of {} by {} pixels is too large", video.width, video.height);
        return Err(Problem::with_detail(ProblemCode::BeyondLimits, detail));
    }
    let (width, height) = display_size(video);
    let percent = if frame_rate.per_second() > Ratio::from_integer(31) { policy.ladder.high_rate_percent } else { 100 };
    let scaled = |kilo: u32| u32::try_from(u64::from(kilo) * 10 * u64::from(percent)).unwrap_or(u32::MAX);
    let tracks = fit_ladder(&policy.ladder, width, height).into_iter().map(|size| VideoTrack {
        name: size.rung.name.clone(),
        width: size.width,
        height: size.height,
        encoding: VideoEncoding {
            preset: policy.preset.clone(),
            crf_tenths: size.rung.crf_tenths,
            maxrate_bps: scaled(size.rung.maxrate_kbps),
            bufsize_bits: scaled(size.rung.bufsize_kbit),
        },
    });
    Ok(tracks.collect())
}

/// Size of the upright picture in square pixels; the side with the longer pixels grows.
pub(super) fn display_size(video: &VideoFacts) -> (u32, u32) {
    let (aspect_width, aspect_height) = match video.sample_aspect {
        (0, _) | (_, 0) => (1, 1),
        aspect => aspect,
    };
    let stretch = |side: u32, by: u32, over: u32| {
        u32::try_from((u64::from(side) * u64::from(by) + u64::from(over) / 2) / u64::from(over)).unwrap_or(u32::MAX).max(1)
    };
    let (width, height) = if aspect_width >= aspect_height {
        (stretch(video.width, aspect_width, aspect_height), video.height)
    } else {
        (video.width, stretch(video.height, aspect_height, aspect_width))
    };
    if video.orientation.swaps_sides() { (height, width) } else { (width, height) }
}

fn audio_tracks(sounds: &[&AudioFacts], policy: &PlanPolicy) -> Vec<AudioTrack> {
    let default = sounds.iter().position(|audio| audio.default).unwrap_or(0);
    let mut ordered: Vec<&AudioFacts> = sounds.to_vec();
    if !ordered.is_empty() {
        let first = ordered.remove(default);
        ordered.insert(0, first);
    }
    // One track index is a byte, and a menu of more than this is no menu.
    ordered.truncate(AUDIO_TRACKS_MAX);
    let mut tracks: Vec<AudioTrack> = Vec::new();
    for (index, audio) in ordered.into_iter().enumerate() {
        let language = audio.language.as_deref().and_then(bcp47);
        let wanted =
            audio.label.clone().filter(|label| !label.is_empty() && !label.contains(['"', '\n', '\r'])).unwrap_or_else(|| {
                language.as_deref().and_then(language_name).map_or_else(|| format!("Audio {}", index + 1), str::to_owned)
            });
        let taken = tracks.iter().any(|track| track.name == wanted);
        let name = if taken { format!("{wanted} ({})", index + 1) } else { wanted };
        tracks.push(AudioTrack { stream: audio.stream, name, language, default: index == 0, channels: 2, bit_rate_bps: policy.audio_bps });
    }
    tracks
}

/// Audio renditions of a title at most; the rest is reported as left out.
const AUDIO_TRACKS_MAX: usize = 16;

/// The BCP 47 tag of a language tagged by ISO 639-2 or already by BCP 47; absent for `und` and nonsense.
fn bcp47(tag: &str) -> Option<String> {
    let primary = tag.split(['-', '_']).next().unwrap_or_default().to_ascii_lowercase();
    let language = isolang(&primary)?;
    let short = language.to_639_1().unwrap_or_else(|| language.to_639_3());
    (short != "und").then(|| short.to_owned())
}

fn language_name(tag: &str) -> Option<&'static str> {
    isolang(tag).map(|language| language.to_name())
}

fn isolang(tag: &str) -> Option<isolang::Language> {
    // ISO 639-2 has two codes for some languages; containers use the bibliographic ones, ISO 639-3 the others.
    let tag = BIBLIOGRAPHIC.iter().find(|(bibliographic, _)| *bibliographic == tag).map_or(tag, |(_, code)| code);
    match tag.len() {
        2 => isolang::Language::from_639_1(tag),
        3 => isolang::Language::from_639_3(tag),
        _ => None,
    }
}

const BIBLIOGRAPHIC: [(&str, &str); 20] = [
    ("alb", "sqi"),
    ("arm", "hye"),
    ("baq", "eus"),
    ("bur", "mya"),
    ("chi", "zho"),
    ("cze", "ces"),
    ("dut", "nld"),
    ("fre", "fra"),
    ("geo", "kat"),
    ("ger", "deu"),
    ("gre", "ell"),
    ("ice", "isl"),
    ("mac", "mkd"),
    ("mao", "mri"),
    ("may", "msa"),
    ("per", "fas"),
    ("rum", "ron"),
    ("slo", "slk"),
    ("tib", "bod"),
    ("wel", "cym"),
];

fn picture_remarks(video: &VideoFacts, frame_rate: FrameRate) -> Vec<Remark> {
    let mut remarks = Vec::new();
    let info = |code, message: String| Remark::new(Severity::Info, code, message);
    if !is_constant(video) {
        let message = format!("The pictures come at a varying rate. They were laid on a steady grid of {frame_rate} frames a second.");
        remarks.push(info(RemarkCode::VariableFrameRate, message));
    } else if let Some(declared) = video.declared_rate.and_then(|(num, den)| FrameRate::new(num, den))
        && declared.as_f64() > frame_rate.as_f64() * 1.5
        && declared.as_f64() <= 240.0
    {
        let message = format!("The source runs at {declared} frames a second. It was brought down to {frame_rate}.");
        remarks.push(info(RemarkCode::FrameRateReduced, message));
    }
    if video.orientation != Orientation::default() {
        let degrees = u32::from(video.orientation.quarter_turns) * 90;
        let mirrored = if video.orientation.mirror { "mirrored and " } else { "" };
        remarks
            .push(info(RemarkCode::Rotated, format!("The picture is stored {mirrored}turned by {degrees} degrees. It was made upright.")));
    }
    let (wide, high) = video.sample_aspect;
    if wide != high && wide != 0 && high != 0 {
        remarks.push(info(
            RemarkCode::NonSquarePixels,
            format!("The pixels are not square ({wide}:{high}). The picture was made of square ones in its right shape."),
        ));
    }
    if video.undecodable_lead_count > 0 {
        remarks.push(Remark::new(
            Severity::Warning,
            RemarkCode::Concealed,
            format!(
                "The first {} pictures cannot be decoded without what came before them. They were replaced.",
                video.undecodable_lead_count
            ),
        ));
    }
    remarks
}

fn stream_remarks(facts: &SourceFacts, picture: Option<&VideoFacts>, sounds: &[&AudioFacts], duration_ms: u64) -> Vec<Remark> {
    let mut remarks = Vec::new();
    let (info, warning) = (Severity::Info, Severity::Warning);
    match (picture, sounds.first()) {
        (Some(_), None) => remarks.push(Remark::new(info, RemarkCode::NoAudio, "There is no sound in the source.")),
        (None, _) => {
            remarks.push(Remark::new(info, RemarkCode::AudioOnly, "There is no moving picture in the source: the title is sound only."))
        }
        (Some(video), Some(audio)) => {
            let late = audio_seconds(audio, audio.first_sample) - video.time_base.seconds(video.first_pts);
            let late_ms = (late * 1000).round().to_integer();
            if late_ms >= LATE_MS {
                let message = format!("The sound begins {late_ms} ms after the picture. It was kept so, with silence before it.");
                remarks.push(Remark::new(info, RemarkCode::AudioStartsLate, message));
            } else if late_ms <= -LATE_MS {
                let message = format!("The picture begins {} ms after the sound. The first picture is shown until then.", -late_ms);
                remarks.push(Remark::new(info, RemarkCode::VideoStartsLate, message));
            }
        }
    }
    if let Some(declared_ms) = facts.declared_duration_ms
        && (declared_ms - duration_ms as i64).abs() > 1000
    {
        let message = format!("The header claims {declared_ms} ms; pictures and sound last {duration_ms} ms. The true duration was used.");
        remarks.push(Remark::new(warning, RemarkCode::DurationCorrected, message));
    }
    let left_out_videos = facts.videos().filter(|video| Some(video.stream) != picture.map(|picture| picture.stream)).count();
    let left_out_sounds = sounds.len().saturating_sub(AUDIO_TRACKS_MAX);
    if left_out_videos + left_out_sounds > 0 {
        let message = format!("{left_out_videos} further video and {left_out_sounds} further audio streams were left out.");
        remarks.push(Remark::new(warning, RemarkCode::StreamIgnored, message));
    }
    if facts.corrupt_packet_count > 0 {
        let message = format!("{} packets of the source are damaged. What they held was concealed.", facts.corrupt_packet_count);
        remarks.push(Remark::new(warning, RemarkCode::Concealed, message));
    }
    remarks
}

/// A start this much later than the other track's is worth a remark.
const LATE_MS: i128 = 100;

#[cfg(test)]
pub(super) mod tests {
    use proptest::prelude::{prop_assert, prop_assert_eq, proptest};

    use super::super::{ColourFacts, FieldOrder, KeyFrame, StreamFacts, TimeBase};
    use super::*;

    /// A progressive 1280×720 stream of `count` pictures, `interval` ticks of `1/den` s apart, from time zero.
    pub(in crate::title) fn video_facts(den: u32, interval: i64, count: u64, declared_rate: Option<(u32, u32)>) -> VideoFacts {
        let last_pts = interval * (count as i64 - 1);
        VideoFacts {
            stream: 0,
            codec: "h264".into(),
            profile: None,
            width: 1280,
            height: 720,
            sample_aspect: (1, 1),
            orientation: Orientation::default(),
            pixel_format: "yuv420p".into(),
            bit_depth: 8,
            colour: ColourFacts { full_range: None, primaries: 2, transfer: 2, matrix: 2 },
            field_order: FieldOrder::Progressive,
            time_base: TimeBase { num: 1, den },
            first_pts: 0,
            last_pts,
            end_pts: last_pts + interval,
            frame_count: count,
            interval_median: if count > 1 { interval } else { 0 },
            interval_max: interval,
            interval_regular_count: count - 1,
            interval_regular_ticks: last_pts,
            declared_rate,
            key_frames: vec![KeyFrame { pts: 0, dts: Some(0), position: None }],
            undecodable_lead_count: 0,
        }
    }

    fn audio_facts(first_sample: i64, end_sample: i64) -> AudioFacts {
        AudioFacts {
            stream: 1,
            codec: "aac".into(),
            profile: None,
            sample_rate: 48_000,
            channels: 2,
            language: Some("ger".into()),
            label: None,
            default: true,
            time_base: TimeBase { num: 1, den: 48_000 },
            first_sample,
            end_sample,
            anchors: Vec::new(),
            discontinuity_count: 0,
        }
    }

    fn facts(streams: Vec<StreamFacts>) -> SourceFacts {
        SourceFacts { container: "mov".into(), bytes: 1, declared_duration_ms: None, streams, corrupt_packet_count: 0 }
    }

    fn policy() -> PlanPolicy {
        PlanPolicy {
            segment_ms: 4000,
            frame_rate_max: 60,
            ladder: Ladder::parse(include_str!("../../config/ladders/default.toml")).expect("the shipped ladder"),
            preset: "veryfast".into(),
            audio_bps: 128_000,
            duration_max_ms: 86_400_000,
            pixels_max: 7680 * 4320,
        }
    }

    #[test]
    fn picture_and_sound_share_one_timeline() {
        let source =
            facts(vec![StreamFacts::Video(video_facts(12_288, 512, 1440, Some((24, 1)))), StreamFacts::Audio(audio_facts(0, 2_880_000))]);
        let (plan, remarks) = plan(&source, &policy()).expect("a plan");
        assert_eq!(plan.timeline.frame_count(), 1440);
        assert_eq!(plan.timeline.segment_count(), 15);
        assert_eq!(plan.video.len(), 4);
        assert_eq!(plan.audio[0].language.as_deref(), Some("de"));
        assert_eq!(plan.audio[0].name, "German");
        assert_eq!(plan.segments_total(), 75);
        assert_eq!(remarks, []);
    }

    #[test]
    fn sound_that_starts_first_moves_the_origin_by_whole_frames() {
        let source = facts(vec![
            StreamFacts::Video(video_facts(12_288, 512, 240, Some((24, 1)))),
            StreamFacts::Audio(audio_facts(-49_000, 480_000)),
        ]);
        let (plan, remarks) = plan(&source, &policy()).expect("a plan");
        assert_eq!(plan.origin, Ratio::new(-25, 24));
        assert_eq!(plan.timeline.frame_count(), 265);
        assert_eq!(remarks[0].code, RemarkCode::VideoStartsLate);
    }

    #[test]
    fn sound_alone_is_a_title() {
        let (plan, remarks) = plan(&facts(vec![StreamFacts::Audio(audio_facts(1105, 480_000))]), &policy()).expect("a plan");
        assert!(plan.video.is_empty() && plan.video_stream.is_none());
        assert_eq!(plan.timeline.frame_rate().per_second(), Ratio::new(48_000, 1024));
        assert_eq!(remarks[0].code, RemarkCode::AudioOnly);
    }

    #[test]
    fn nothing_to_play_is_refused_by_name() {
        assert_eq!(plan(&facts(Vec::new()), &policy()).expect_err("nothing").code, ProblemCode::NoPictureOrSound);
        let mut empty = video_facts(24, 1, 1, None);
        empty.frame_count = 0;
        assert_eq!(plan(&facts(vec![StreamFacts::Video(empty)]), &policy()).expect_err("no samples").code, ProblemCode::NoSamples);
        let mut huge = video_facts(24, 1, 10, None);
        huge.width = 30_000;
        huge.height = 30_000;
        assert_eq!(plan(&facts(vec![StreamFacts::Video(huge)]), &policy()).expect_err("huge").code, ProblemCode::BeyondLimits);
        let long = video_facts(1, 1_000_000, 3, None);
        assert_eq!(plan(&facts(vec![StreamFacts::Video(long)]), &policy()).expect_err("long").code, ProblemCode::BeyondLimits);
    }

    #[test]
    fn the_display_is_upright_with_square_pixels() {
        for (size, aspect, turns, expect) in [
            ((1280, 1080), (3, 2), 0, (1920, 1080)),
            ((720, 576), (64, 45), 0, (1024, 576)),
            ((1920, 1080), (1, 1), 3, (1080, 1920)),
            ((720, 576), (8, 9), 0, (720, 648)),
            ((640, 480), (0, 1), 0, (640, 480)),
        ] {
            let mut video = video_facts(25, 1, 10, None);
            (video.width, video.height) = size;
            video.sample_aspect = aspect;
            video.orientation.quarter_turns = turns;
            assert_eq!(display_size(&video), expect);
        }
    }

    #[test]
    fn equal_names_are_told_apart() {
        let mut second = audio_facts(0, 48_000);
        second.stream = 2;
        second.default = false;
        let source = facts(vec![StreamFacts::Audio(audio_facts(0, 48_000)), StreamFacts::Audio(second)]);
        let (plan, _) = plan(&source, &policy()).expect("a plan");
        let names: Vec<_> = plan.audio.iter().map(|track| track.name.as_str()).collect();
        assert_eq!(names, ["German", "German (2)"]);
        assert!(plan.audio[0].default && !plan.audio[1].default);
    }

    proptest! {
        #[test]
        fn tracks_end_together(interval in 200_i64..20_000, count in 1_u64..20_000, audio_start in -200_000_i64..200_000, audio_length in 1_i64..5_000_000) {
            let video = video_facts(90_000, interval, count, None);
            let audio = audio_facts(audio_start, audio_start + audio_length);
            let source = facts(vec![StreamFacts::Video(video.clone()), StreamFacts::Audio(audio)]);
            let (plan, _) = plan(&source, &policy()).expect("a plan");
            let line = &plan.timeline;
            let frames: u64 = line.segments().filter_map(|segment| line.frames(segment)).map(|range| range.end - range.start).sum();
            prop_assert_eq!(frames, line.frame_count());
            let sound: u64 = line.segments().filter_map(|segment| line.audio_frames(segment, AUDIO_SAMPLE_RATE, AAC_FRAME_SAMPLES)).map(|range| range.end - range.start).sum();
            let sound_end = Ratio::new(i128::from(sound) * 1024, 48_000);
            let frame = Ratio::new(1024, 48_000).max(line.frame_rate().time_of(1));
            prop_assert!((sound_end - line.duration()).max(line.duration() - sound_end) <= frame);
            // Nothing of the source lies before the origin, and nothing more than half a frame after the end.
            prop_assert!(plan.origin <= video.time_base.seconds(video.first_pts));
            prop_assert!(plan.origin <= Ratio::new(i128::from(audio_start), 48_000));
            let end = plan.origin + line.duration();
            let half = line.frame_rate().time_of(1) / 2;
            prop_assert!(end + half >= Ratio::new(i128::from(audio_start + audio_length), 48_000));
        }
    }
}
