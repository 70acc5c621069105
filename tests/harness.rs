//! What tests share: the real worker run over a file, without a server.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use headwater::cmaf;
use headwater::title::{
    CodecHeader, DeinterlacePolicy, Ladder, Plan, PlanPolicy, Remark, Rung, SegmentNumber, SoundPolicy, SourceFacts, TrackId, plan,
};
use headwater::worker::protocol::MadeSegment;
use headwater::worker::{Failure, Settings, Worker};

/// How the tests start workers.
pub fn worker_settings() -> Settings {
    Settings {
        program: env!("CARGO_BIN_EXE_headwater-worker").into(),
        memory_max_bytes: 4 << 30,
        encoder_threads: false,
        stall: Duration::from_secs(60),
        survey_deadline: Duration::from_secs(120),
    }
}

/// The shipped policy with a preset that makes tests quick. Nothing is copied: most tests are about what is decoded and
/// encoded.
pub fn policy() -> PlanPolicy {
    PlanPolicy {
        segment_ms: 4000,
        frame_rate_max: 60,
        deinterlace: DeinterlacePolicy::Field,
        ladder: Ladder::parse(include_str!("../config/ladders/default.toml")).expect("the shipped ladder"),
        hdr: false,
        preset: "ultrafast".into(),
        audio_bps: 128_000,
        video_copy: false,
        audio_copy: false,
        audio_copy_bps_max: 256_000,
        sound: SoundPolicy { surround_bps: Some(384_000), low_bps: 64_000, target_hundredths_lufs: None },
        duration_max_ms: 86_400_000,
        pixels_max: 7680 * 4320,
        memory_max_bytes: worker_settings().memory_max_bytes,
    }
}

/// The policy with all copied that can be.
pub fn copying(policy: PlanPolicy) -> PlanPolicy {
    PlanPolicy { video_copy: true, audio_copy: true, ..policy }
}

/// A policy with short segments and at most two small rungs: many cuts for little work.
pub fn quick_policy() -> PlanPolicy {
    let mut policy = PlanPolicy { segment_ms: 1500, ..policy() };
    policy.ladder.rungs.retain(|rung| rung.short_side <= 360);
    policy
}

/// As [`quick_policy`], with one small rendition of high dynamic range for sources that have it.
pub fn hdr_policy() -> PlanPolicy {
    let mut policy = PlanPolicy { hdr: true, ..quick_policy() };
    let rung = Rung { name: "small-hdr".into(), short_side: 144, crf_tenths: 120, maxrate_kbps: 2000, bufsize_kbit: 3000 };
    policy.ladder.hdr_rungs = vec![rung];
    policy
}

/// A worker with a plan opened on a file.
pub struct Opened {
    pub worker: Worker,
    pub facts: SourceFacts,
    pub plan: Plan,
    /// What the plan says was found; nothing for a worker opened again.
    pub remarks: Vec<Remark>,
    pub headers: Vec<(TrackId, CodecHeader)>,
}

impl Opened {
    /// Surveys, plans and opens `path`.
    pub async fn new(path: &Path, policy: &PlanPolicy) -> Result<Self, Failure> {
        let settings = Settings { encoder_threads: policy.hdr, ..worker_settings() };
        let mut worker = Worker::spawn(&settings, File::open(path).expect("the file"))?;
        let facts = worker.survey().await?.facts;
        let (plan, remarks) = plan(&facts, policy).map_err(Failure::Rejected)?;
        let headers = worker.open(facts.clone(), plan.clone()).await?;
        Ok(Self { worker, facts, plan, remarks, headers })
    }

    /// Another worker on the same plan.
    pub async fn again(path: &Path, facts: &SourceFacts, plan: &Plan) -> Self {
        let settings = Settings { encoder_threads: plan.encodes_hevc(), ..worker_settings() };
        let mut worker = Worker::spawn(&settings, File::open(path).expect("the file")).expect("a worker");
        let headers = worker.open(facts.clone(), plan.clone()).await.expect("opened");
        Self { worker, facts: facts.clone(), plan: plan.clone(), remarks: Vec::new(), headers }
    }

    /// One segment of every track.
    pub async fn make(&mut self, number: SegmentNumber) -> Vec<MadeSegment> {
        let tracks: Vec<TrackId> = self.plan.tracks().collect();
        self.worker.make(number, &tracks).await.expect("made")
    }

    /// Every segment of every track, verified, in order.
    pub async fn make_all(&mut self) -> BTreeMap<TrackId, Vec<MadeSegment>> {
        let mut made: BTreeMap<TrackId, Vec<MadeSegment>> = BTreeMap::new();
        for number in self.plan.timeline.segments() {
            for segment in self.make(number).await {
                cmaf::verify(&self.plan, segment.track, number, &segment.bytes).expect("verified");
                made.entry(segment.track).or_default().push(segment);
            }
        }
        made
    }

    /// The init segment of a track.
    pub fn init(&self, track: TrackId) -> Bytes {
        let (_, header) = self.headers.iter().find(|(id, _)| *id == track).expect("a header");
        cmaf::init_segment(&self.plan, track, header).expect("an init segment")
    }
}
