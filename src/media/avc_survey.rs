//! The survey of an H.264 stream with a view to copying it: whether anything in it is doubtful, and where it can be cut.

use ffmpeg_next as ffmpeg;
use ffmpeg_next::ffi;
use headwater::cmaf::avc::AvcReader;
use headwater::title::{AvcFacts, AvcPiece, CopyDoubt, VideoFacts, choose_frame_rate};

use super::stream_facts;

/// What the packets of an H.264 stream have told so far; nothing more is looked at once it is doubtful.
pub struct AvcSurvey(Result<Following, CopyDoubt>);

struct Following {
    reader: AvcReader,
    pieces: Vec<AvcPiece>,
    /// Pieces are at least so many ticks long.
    spacing_ticks: i64,
    /// Place in the bitstream's order of presentation, and presentation time, of each picture since the last IDR picture.
    period: Vec<(i64, i64)>,
    /// The latest presentation time before that.
    shown_to: Option<i64>,
}

/// Pictures from one IDR picture to the next at most: more than the longest segment that may be configured has.
const PERIOD_MAX: usize = 10_000;
/// A copied grid may be finer than what is published; the plan has the last word.
const RATE_MAX: u32 = 240;

impl AvcSurvey {
    /// Starts with what the container says; `spacing_ticks` are the least from one cut to the next.
    pub fn begin(parameters: &ffi::AVCodecParameters, spacing_ticks: i64) -> Self {
        if parameters.codec_id != ffi::AVCodecID::AV_CODEC_ID_H264 {
            return Self(Err(CopyDoubt::Codec));
        }
        let reader = AvcReader::new(stream_facts::extradata(parameters));
        Self(reader.map(|reader| Following { reader, pieces: Vec::new(), spacing_ticks, period: Vec::new(), shown_to: None }))
    }

    /// Notes a packet.
    pub fn take(&mut self, packet: &ffmpeg::Packet) {
        if let Ok(following) = &mut self.0
            && let Err(doubt) = following.take(packet)
        {
            self.0 = Err(doubt);
        }
    }

    /// What copying takes. `facts` are those of the stream but for this, `times` its presentation times in order, each once.
    pub fn finish(self, facts: &VideoFacts, times: &[i64]) -> Result<AvcFacts, CopyDoubt> {
        let mut following = self.0?;
        following.end_period()?;
        let (sps, pps) = following.reader.sets().ok_or(CopyDoubt::ParameterSets)?;
        let picture_count: usize = following.pieces.iter().map(|piece| piece.picture_count as usize).sum();
        if picture_count != times.len() || picture_count == 0 {
            return Err(CopyDoubt::Timestamps);
        }
        let grid = choose_frame_rate(facts, RATE_MAX);
        let mut slots = times.iter().map(|pts| grid.frame_near(pts - facts.first_pts, facts.time_base));
        let mut last = slots.next().unwrap_or(0);
        let mut slot_step_max = 0;
        for slot in slots {
            if slot <= last {
                return Err(CopyDoubt::Grid);
            }
            slot_step_max = slot_step_max.max(slot - last);
            last = slot;
        }
        let slots = |count: i128| u64::try_from(count).map_err(|_| CopyDoubt::Timestamps);
        let mut found = AvcFacts {
            sps,
            pps,
            width: 0,
            height: 0,
            sample_aspect: None,
            full_range: None,
            colour: None,
            grid,
            slot_count: slots(last + 1)?,
            slot_step_max: slots(slot_step_max)?,
            pieces: following.pieces,
        };
        following.reader.describe(&mut found);
        Ok(found)
    }
}

impl Following {
    fn take(&mut self, packet: &ffmpeg::Packet) -> Result<(), CopyDoubt> {
        if packet.is_corrupt() {
            return Err(CopyDoubt::Damaged);
        }
        if stream_facts::is_discarded(packet) {
            return Err(CopyDoubt::Edited);
        }
        if let Some(extradata) = stream_facts::new_extradata(packet) {
            self.reader.take_extradata(&extradata)?;
        }
        let (Some(pts), Some(data)) = (packet.pts(), packet.data()) else { return Err(CopyDoubt::Timestamps) };
        let picture = self.reader.take(data)?;
        if picture.idr {
            self.end_period()?;
            if self.pieces.last().is_none_or(|last| pts - last.pts >= self.spacing_ticks) {
                let position = u64::try_from(packet.position()).ok();
                self.pieces.push(AvcPiece { pts, position, picture_count: 0, bytes: 0 });
            }
        }
        if let Some(piece) = self.pieces.last_mut() {
            piece.picture_count += 1;
            piece.bytes += picture.sample_bytes;
        }
        self.period.push((picture.order, pts));
        if self.period.len() > PERIOD_MAX { Err(CopyDoubt::Cuts) } else { Ok(()) }
    }

    /// The pictures since the last IDR picture must be shown after all before it, the IDR picture first of them, and at
    /// times that agree with the bitstream.
    fn end_period(&mut self) -> Result<(), CopyDoubt> {
        let Some(idr) = self.period.first().copied() else { return Ok(()) };
        self.period.sort_unstable();
        let rises = self.period.windows(2).all(|pair| pair[0].0 < pair[1].0 && pair[0].1 < pair[1].1);
        let after_all = self.period.first() == Some(&idr) && self.shown_to.is_none_or(|shown_to| idr.1 > shown_to);
        self.shown_to = self.period.last().map(|(_, pts)| *pts);
        self.period.clear();
        if rises && after_all { Ok(()) } else { Err(CopyDoubt::Timestamps) }
    }
}
