//! How loud an audio stream is: all of it decoded once and measured after EBU R 128.

use std::fs::File;
use std::sync::Arc;

use ebur128::{Channel, EbuR128, Mode};
use ffmpeg_next::frame::Audio;
use headwater::title::{Loudness, Problem, ProblemCode};

use super::decoder::{Decoder, Step};
use super::downmix::{Downmix, Target};
use super::pulse::Pulse;
use super::sound::Sound;
use super::source::Source;
use super::speakers::{self, Speaker};

/// A stream whose highest peak is below this has nothing to hear: the gate of BS.1770, far above the noise of 16 bits.
const SILENCE_HUNDREDTHS_DBTP: i32 = -7000;

/// Decodes the stream from its start to its end and measures it.
///
/// # Errors
/// When the source cannot be opened, or nothing of the stream can be decoded.
pub fn listen(file: &Arc<File>, stream: u32, pulse: &Pulse) -> Result<Loudness, Problem> {
    let mut source = Source::open(Arc::clone(file), &[], pulse.clone())?;
    source.only(stream);
    let mut decoder = Decoder::open(&source, stream).ok_or_else(|| Problem::new(ProblemCode::UnsupportedCodec))?;
    let mut meter = None;
    let mut frame = Audio::empty();
    let mut ended = false;
    while !ended {
        let packet = source.read_of(stream);
        ended = packet.is_none();
        decoder.send(packet.as_ref());
        loop {
            match decoder.receive(&mut frame) {
                Step::Frame => {
                    take(&mut meter, &frame)?;
                    pulse.advance(1);
                }
                Step::Damaged => {}
                Step::Hungry | Step::Finished => break,
            }
        }
    }
    meter.map_or_else(|| Err(Problem::with_detail(ProblemCode::Corrupt, "no sound of the stream can be decoded")), Meter::read)
}

fn take(meter: &mut Option<Meter>, frame: &Audio) -> Result<(), Problem> {
    let speakers = speakers::of_frame(frame);
    let Some(sound) = Sound::decoded(frame).filter(|_| !speakers.is_empty() && frame.rate() > 0) else { return Ok(()) };
    let meter = match meter {
        Some(meter) => meter,
        none => none.insert(Meter::new(speakers.clone(), frame.rate())?),
    };
    meter.take(&sound, speakers, frame.rate())
}

struct Meter {
    channels: EbuR128,
    /// Only for its peaks.
    stereo: EbuR128,
    mix: Downmix,
    rate: u32,
}

impl Meter {
    fn new(speakers: Vec<Speaker>, rate: u32) -> Result<Self, Problem> {
        let mut channels = EbuR128::new(speakers.len() as u32, rate, Mode::I | Mode::LRA | Mode::TRUE_PEAK).map_err(failed)?;
        channels.set_channel_map(&places(&speakers)).map_err(failed)?;
        let stereo = EbuR128::new(2, rate, Mode::TRUE_PEAK).map_err(failed)?;
        Ok(Self { channels, stereo, mix: Downmix::new(&speakers, Target::Stereo, 1.0), rate })
    }

    fn take(&mut self, sound: &Sound, speakers: Vec<Speaker>, rate: u32) -> Result<(), Problem> {
        if rate != self.rate || speakers != self.mix.speakers() {
            // What was measured so far stays.
            self.channels.change_parameters(speakers.len() as u32, rate).map_err(failed)?;
            self.channels.set_channel_map(&places(&speakers)).map_err(failed)?;
            self.stereo.change_parameters(2, rate).map_err(failed)?;
            (self.mix, self.rate) = (Downmix::new(&speakers, Target::Stereo, 1.0), rate);
        }
        self.channels.add_frames_planar_f32(&planes(sound)).map_err(failed)?;
        if self.mix.adds() {
            self.stereo.add_frames_planar_f32(&planes(&self.mix.mix_as_is(sound))).map_err(failed)?;
        }
        Ok(())
    }

    fn read(self) -> Result<Loudness, Problem> {
        let integrated = self.channels.loudness_global().map_err(failed)?;
        let range = self.channels.loudness_range().map_err(failed)?;
        let peak = |meter: &EbuR128| {
            let peaks = (0..meter.channels()).filter_map(|channel| meter.true_peak(channel).ok());
            Some(peaks.fold(0.0, f64::max)).filter(|peak| *peak > 0.0).map(|peak| hundredths(20.0 * peak.log10()))
        };
        let true_peak = peak(&self.channels);
        Ok(Loudness {
            integrated_hundredths_lufs: integrated.is_finite().then(|| hundredths(integrated)),
            range_hundredths_lu: if range.is_finite() { hundredths(range) } else { 0 },
            true_peak_hundredths_dbtp: true_peak,
            mix_true_peak_hundredths_dbtp: peak(&self.stereo),
            silent: true_peak.is_none_or(|peak| peak < SILENCE_HUNDREDTHS_DBTP),
        })
    }
}

fn planes(sound: &Sound) -> Vec<&[f32]> {
    sound.channels().iter().map(Vec::as_slice).collect()
}

fn hundredths(value: f64) -> i32 {
    (value * 100.0).round() as i32
}

/// How each channel counts (ITU-R BS.1770-4 tables 3 and 4): by where it is heard from.
fn places(speakers: &[Speaker]) -> Vec<Channel> {
    if let [_] = speakers {
        return vec![Channel::DualMono];
    }
    let has = |speaker| speakers.contains(&speaker);
    let (sides, inner) = (has(Speaker::SideLeft), has(Speaker::FrontLeftOfCentre) && has(Speaker::TopCentre));
    let place = |speaker: &Speaker| match speaker {
        // In 22.2 the front pair stands at 60 degrees and the inner pair where the front pair stands elsewhere.
        Speaker::FrontLeft if inner => Channel::Mp060,
        Speaker::FrontRight if inner => Channel::Mm060,
        Speaker::FrontLeft | Speaker::MixLeft | Speaker::FrontLeftOfCentre => Channel::Left,
        Speaker::FrontRight | Speaker::MixRight | Speaker::FrontRightOfCentre => Channel::Right,
        Speaker::FrontCentre | Speaker::Everywhere => Channel::Center,
        Speaker::WideLeft => Channel::Mp060,
        Speaker::WideRight => Channel::Mm060,
        Speaker::SideLeft => Channel::Mp090,
        Speaker::SideRight => Channel::Mm090,
        // Without a pair at the side, the back pair is the one at 110 degrees.
        Speaker::BackLeft if !sides => Channel::LeftSurround,
        Speaker::BackRight if !sides => Channel::RightSurround,
        Speaker::BackLeft | Speaker::SurroundDirectLeft => Channel::Mp135,
        Speaker::BackRight | Speaker::SurroundDirectRight => Channel::Mm135,
        Speaker::BackCentre => Channel::Mp180,
        Speaker::TopCentre => Channel::Tp000,
        Speaker::TopFrontLeft => Channel::Up045,
        Speaker::TopFrontCentre => Channel::Up000,
        Speaker::TopFrontRight => Channel::Um045,
        Speaker::TopSideLeft => Channel::Up090,
        Speaker::TopSideRight => Channel::Um090,
        Speaker::TopBackLeft => Channel::Up135,
        Speaker::TopBackCentre => Channel::Up180,
        Speaker::TopBackRight => Channel::Um135,
        Speaker::BottomFrontCentre => Channel::Bp000,
        Speaker::BottomFrontLeft => Channel::Bp045,
        Speaker::BottomFrontRight => Channel::Bm045,
        Speaker::LowFrequency | Speaker::LowFrequency2 | Speaker::Unknown => Channel::Unused,
    };
    speakers.iter().map(place).collect()
}

fn failed(error: ebur128::Error) -> Problem {
    Problem::with_detail(ProblemCode::WorkerFailed, format!("measuring loudness: {error}"))
}
