//! The survey of an AAC stream with a view to copying it: whether anything in it is doubtful, and how much it takes.

use std::collections::VecDeque;

use ffmpeg_next as ffmpeg;
use ffmpeg_next::ffi;
use headwater::cmaf::aac_packet::AacReader;
use headwater::title::{AAC_FRAME_SAMPLES, AacFacts, AudioFacts, CopyDoubt};

use super::stream_facts;

/// What the packets of an AAC stream have told so far; nothing more is looked at once it is doubtful.
pub struct AacSurvey(Result<Following, CopyDoubt>);

struct Following {
    reader: AacReader,
    first_sample: Option<i64>,
    frame_count: u64,
    bytes: u64,
    /// Bytes of the frames within the last second, and their sum.
    window: VecDeque<u32>,
    window_bytes: u32,
    window_bytes_max: u32,
    drift_samples_max: u32,
}

impl AacSurvey {
    /// Starts with what the container says.
    pub fn begin(parameters: &ffi::AVCodecParameters) -> Self {
        // FFmpeg tells the extensions that a configuration need not name, such as spectral band replication, by the profile.
        let plain = parameters.codec_id == ffi::AVCodecID::AV_CODEC_ID_AAC && parameters.profile == LOW_COMPLEXITY;
        if !plain {
            return Self(Err(CopyDoubt::Codec));
        }
        let reader = AacReader::new(stream_facts::extradata(parameters));
        Self(reader.map(|reader| Following {
            reader,
            first_sample: None,
            frame_count: 0,
            bytes: 0,
            window: VecDeque::new(),
            window_bytes: 0,
            window_bytes_max: 0,
            drift_samples_max: 0,
        }))
    }

    /// Notes a packet whose first sample lies at `start` by counting, and at `stamped` by its timestamp; it holds `length`.
    pub fn take(&mut self, packet: &ffmpeg::Packet, start: i64, stamped: Option<i64>, length: i64) {
        if let Ok(following) = &mut self.0
            && let Err(doubt) = following.take(packet, start, stamped, length)
        {
            self.0 = Err(doubt);
        }
    }

    /// What copying takes; `facts` are those of the stream but for this.
    pub fn finish(self, facts: &AudioFacts) -> Result<AacFacts, CopyDoubt> {
        let following = self.0?;
        if facts.discontinuity_count > 0 {
            return Err(CopyDoubt::Timestamps);
        }
        if following.reader.form() != Some((facts.sample_rate, facts.channels)) {
            return Err(CopyDoubt::Format);
        }
        let config = following.reader.config().ok_or(CopyDoubt::ParameterSets)?;
        Ok(AacFacts {
            config,
            first_sample: following.first_sample.ok_or(CopyDoubt::Packets)?,
            frame_count: following.frame_count,
            bytes: following.bytes,
            window_bytes_max: following.window_bytes_max,
            drift_samples_max: following.drift_samples_max,
        })
    }
}

/// FFmpeg's number of the profile.
const LOW_COMPLEXITY: i32 = 1;

impl Following {
    fn take(&mut self, packet: &ffmpeg::Packet, start: i64, stamped: Option<i64>, length: i64) -> Result<(), CopyDoubt> {
        if packet.is_corrupt() {
            return Err(CopyDoubt::Damaged);
        }
        if let Some(extradata) = stream_facts::new_extradata(packet) {
            self.reader.take_extradata(&extradata)?;
        }
        let frame = self.reader.take(packet.data().unwrap_or_default())?;
        if length != i64::from(AAC_FRAME_SAMPLES) {
            return Err(CopyDoubt::Format);
        }
        let drift = stamped.ok_or(CopyDoubt::Timestamps)?.abs_diff(start);
        self.drift_samples_max = self.drift_samples_max.max(u32::try_from(drift).unwrap_or(u32::MAX));
        self.first_sample.get_or_insert(start);
        self.frame_count += 1;
        let bytes = u32::try_from(frame.len()).map_err(|_| CopyDoubt::Packets)?;
        self.bytes += u64::from(bytes);
        let rate = self.reader.form().map_or(0, |(rate, _)| rate);
        if self.window.len() >= AacFacts::window_frames(rate) as usize {
            self.window_bytes -= self.window.pop_front().unwrap_or(0);
        }
        self.window.push_back(bytes);
        self.window_bytes = self.window_bytes.saturating_add(bytes);
        self.window_bytes_max = self.window_bytes_max.max(self.window_bytes);
        Ok(())
    }
}
