//! The plan: everything a player will ever be told about a title, computed from the survey alone.

use serde::{Deserialize, Serialize};

mod copy;
mod level;
pub mod memory;
mod picture;
mod scan;
mod sound;
mod text;

use copy::copy_sounds;
pub use copy::{CopyGrid, CopyRefusal, SoundPlacement, copy_picture, copy_sound, sound_placement};
pub use picture::{VideoCodec, VideoEncoding, VideoMethod, VideoRange, VideoTrack, display_size};
use picture::{high_tracks, video_tracks};
pub use scan::{Deinterlace, DeinterlacePolicy, Scan, is_worth_a_look, scan_of};
pub(super) use sound::AUDIO_TRACKS_MAX;
use sound::audio_tracks;
pub use sound::{AudioMethod, AudioTier, AudioTrack, SoundPolicy};
pub use text::{InvalidTextKind, TextKind, TextOrigin, TextTrack};

use super::{
    AudioFacts, FrameRate, Generation, Ladder, LightFacts, Orientation, Problem, ProblemCode, Ratio, Remark, SegmentNumber, SourceFacts,
    Timeline, TrackId, TrackKind, VideoFacts, choose_frame_rate, findings, pictures_a_slot,
};

/// Samples a second of every audio track that is encoded.
pub const AUDIO_SAMPLE_RATE: u32 = 48_000;
/// Samples of one AAC-LC frame (ISO 14496-3 4.5.1.1).
pub const AAC_FRAME_SAMPLES: u32 = 1024;
/// Most bytes that the boxes of a segment take: `styp` and two chunks of `moof` and `mdat`, but for the rows of their tables.
pub const SEGMENT_BOXES_BYTES: u64 = 260;
/// Most bytes of a row of those tables: duration, size, flags and composition offset of a sample.
pub const SAMPLE_ROW_BYTES: u64 = 16;

/// How titles are planned; from the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlanPolicy {
    /// Aimed length of a segment in milliseconds.
    pub segment_ms: u32,
    /// Highest frame rate of the output.
    pub frame_rate_max: u32,
    /// What becomes of interlaced pictures.
    pub deinterlace: DeinterlacePolicy,
    /// The ladder.
    pub ladder: Ladder,
    /// Whether sources of high dynamic range get renditions that keep it.
    pub hdr: bool,
    /// The encoders' preset, such as `veryfast`.
    pub preset: String,
    /// Bit rate of a stereo audio track in bits a second.
    pub audio_bps: u32,
    /// Whether pictures that players take as they are may be copied.
    pub video_copy: bool,
    /// Whether sound that players take as it is may be copied.
    pub audio_copy: bool,
    /// Highest bit rate of sound that is copied, in bits a second.
    pub audio_copy_bps_max: u32,
    /// The rest of what is decided about sound.
    pub sound: SoundPolicy,
    /// Longest title in milliseconds.
    pub duration_max_ms: u64,
    /// Most pixels of a source picture.
    pub pixels_max: u64,
    /// Memory of a worker; a source that needs more is refused.
    pub memory_max_bytes: u64,
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
    /// How whole pictures are made of fields; absent when the pictures are whole, or left as they are.
    pub deinterlace: Option<Deinterlace>,
    /// Video renditions, all from one stream: the standard ones, largest first, then those of high dynamic range likewise.
    pub video: Vec<VideoTrack>,
    /// How bright the source says it is, for the renditions that keep its range.
    pub light: LightFacts,
    /// Audio renditions, the default one first.
    pub audio: Vec<AudioTrack>,
    /// Gain of all sound in hundredths of a decibel; 0 leaves it as it is.
    pub gain_hundredths_db: i32,
    /// Level of sound whose channels are added up into fewer, in hundredths of a decibel, on top of the gain.
    pub mix_hundredths_db: i32,
    /// Text renditions, the default one first.
    pub text: Vec<TextTrack>,
}

impl Plan {
    /// All tracks of pictures and sound: video, then audio.
    pub fn tracks(&self) -> impl Iterator<Item = TrackId> + use<> {
        let (video, audio) = (self.video.len() as u8, self.audio.len() as u8);
        (0..video).map(TrackId::video).chain((0..audio).map(TrackId::audio))
    }

    /// AAC frames of one audio track that a segment holds; absent when there is no such track or segment.
    pub fn audio_frames(&self, index: u8, number: SegmentNumber) -> Option<std::ops::Range<u64>> {
        let track = self.audio.get(usize::from(index))?;
        self.timeline.audio_frames(number, track.sample_rate, AAC_FRAME_SAMPLES)
    }

    /// The text track that appeared in `generation` under that name, if it is still in this plan.
    pub fn text_track(&self, generation: Generation, track: TrackId) -> Option<&TextTrack> {
        self.text.iter().find(|text| text.since == generation && text.id() == track)
    }

    /// Whether the plan has that track.
    pub fn has(&self, track: TrackId) -> bool {
        match track.kind {
            TrackKind::Video => usize::from(track.index) < self.video.len(),
            TrackKind::Audio => usize::from(track.index) < self.audio.len(),
            TrackKind::Text => usize::from(track.index) < self.text.len(),
        }
    }

    /// Whether any track is encoded as HEVC, whose encoder needs threads of its own.
    pub fn encodes_hevc(&self) -> bool {
        self.video.iter().filter_map(VideoTrack::encoding).any(|encoding| encoding.codec == VideoCodec::Hevc)
    }

    /// Segments that workers make: those of all tracks of pictures and sound.
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
    let deinterlace = picture.and_then(|video| Deinterlace::of(video, policy));
    let frame_rate = match picture {
        Some(video) => Deinterlace::frame_rate(deinterlace, choose_frame_rate(video, policy.frame_rate_max)),
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
        // However short the last picture is, it is shown, unless the rate was brought down: then pictures are left out anyway.
        if pictures_a_slot(video, frame_rate) == 1 {
            let last = ((video.time_base.seconds(video.last_pts) - origin) * frame_rate.per_second()).round().to_integer();
            frame_count = frame_count.max(last + 1);
        }
        remarks.extend(findings::of_picture(video, frame_rate));
        remarks.extend(findings::of_fields(video, deinterlace, frame_rate));
    }
    let timeline = Timeline::even(frame_rate, u64::try_from(frame_count).unwrap_or(1), policy.segment_ms);
    let audio = audio_tracks(&sounds, picture.is_some(), policy);
    remarks.extend(findings::of_streams(facts, picture, &sounds, &audio, timeline.duration_ms()));
    remarks.extend(findings::of_sound(&sounds, &audio));
    let video = picture.map_or(Ok(Vec::new()), |video| video_tracks(video, frame_rate, policy))?;
    if let Some(facts) = picture {
        remarks.extend(findings::of_colour(facts, &video));
        remarks.extend(findings::of_memory(facts, &high_tracks(facts, frame_rate, policy).1, policy.memory_max_bytes));
    }
    let mut plan = Plan {
        origin,
        video_stream: picture.map(|video| video.stream),
        orientation: picture.map(|video| video.orientation).unwrap_or_default(),
        deinterlace,
        video,
        light: picture.map(|video| video.light).unwrap_or_default(),
        audio,
        gain_hundredths_db: 0,
        mix_hundredths_db: SoundPolicy::MIX_HUNDREDTHS_DB,
        text: Vec::new(),
        timeline,
    };
    let picture = copy_picture(&mut plan, facts, policy).ok();
    remarks.extend(findings::of_copies(picture.as_deref(), &copy_sounds(&mut plan, facts, policy)));
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
        let audio = sounds.iter().map(|audio| (audio.seconds(audio.first_sample), audio.seconds(audio.end_sample)));
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

/// The latest time at or before `start` that lies on the frame grid through `first_picture`, so that every picture of a
/// source with a constant rate falls on a slot of its own, whatever the sound does.
fn grid_origin(first_picture: Ratio, start: Ratio, frame_rate: FrameRate) -> Ratio {
    let frames_before = ((first_picture - start) * frame_rate.per_second()).ceil();
    first_picture - frames_before / frame_rate.per_second()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{prop_assert, prop_assert_eq, proptest};

    use super::*;
    use crate::title::sample::{audio_facts, facts, policy, video_facts};
    use crate::title::{RemarkCode, StreamFacts};

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
        let of_tier = |tier| plan.audio.iter().filter(move |track| track.tier == tier).map(|track| track.name.as_str());
        for tier in [AudioTier::Stereo, AudioTier::Low] {
            assert_eq!(of_tier(tier).collect::<Vec<_>>(), ["German", "German (2)"]);
        }
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
