//! From a received source to a plan: survey in the worker, plan, documents of subtitles, codec headers, init segments.

use std::collections::BTreeMap;

use crate::catalogue::{self, TrackRecord};
use crate::cmaf;
use crate::store::{self, Key};
use crate::text;
use crate::title::{AudioTier, ContentHash, Generation, Loudness, Plan, Problem, ProblemCode, TitleId, loudness_remarks, plan};
use crate::worker::protocol::Survey;
use crate::worker::{Failure, Worker};

use super::board::Pass;
use super::metrics::Stopwatch;
use super::{Shared, pass};

/// What came of preparing a title.
pub enum Prepared {
    /// It has a plan; the worker has it open.
    Planned { worker: Box<Worker>, plan: Plan, generation: Generation, passes: Vec<Pass> },
    /// It cannot become a title.
    Refused(Problem),
    /// Something went wrong that may go right next time.
    Failed(Error),
}

/// Why preparing came to nothing.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The worker ended badly.
    #[error(transparent)]
    Worker(#[from] Failure),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// The catalogue failed.
    #[error(transparent)]
    Catalogue(#[from] catalogue::Error),
    /// What the encoders announced cannot be packaged.
    #[error(transparent)]
    Packaging(#[from] cmaf::Error),
}

impl Error {
    /// What the uploader is told when this has happened too often.
    pub fn problem(&self) -> Problem {
        let code = match self {
            Self::Worker(Failure::TimedOut) => ProblemCode::SurveyTimedOut,
            Self::Store(store::Error::NotFound) => ProblemCode::SourceLost,
            _ => ProblemCode::WorkerFailed,
        };
        Problem::with_detail(code, self.to_string())
    }
}

/// Prepares a title; blocks its slot meanwhile.
pub async fn prepare(shared: &Shared, id: TitleId) -> Prepared {
    match attempt(shared, id).await {
        Ok(prepared) => prepared,
        Err(Error::Worker(Failure::Rejected(problem))) => Prepared::Refused(problem),
        Err(error) => Prepared::Failed(error),
    }
}

async fn attempt(shared: &Shared, id: TitleId) -> Result<Prepared, Error> {
    let source = shared.store.open_file(Key::Source(id)).await?;
    let settings = shared.settings();
    let mut worker = Worker::spawn(&settings.worker, source)?;
    let mut watch = Stopwatch::start(&worker);
    let Survey { facts, texts } = worker.survey().await?;
    watch.lap(&shared.metrics, "survey", &worker);
    let (mut plan, mut remarks) = match plan(&facts, &settings.policy) {
        Ok(planned) => planned,
        Err(problem) => return Ok(Prepared::Refused(problem)),
    };
    let (tracks_of_text, documents, told) = text::convert(&facts, &texts, &plan);
    plan.text = tracks_of_text;
    remarks.extend(told);
    for (hash, document) in documents {
        // Another attempt, under another policy, may make others of it.
        shared.catalogue.document_coming(id, hash).await?;
        shared.store.put(Key::Object(id, hash), document).await?;
    }
    let heard = match settings.policy.sound.target_hundredths_lufs {
        Some(target) if !plan.audio.is_empty() => {
            let heard = listen(&mut worker, &plan).await?;
            watch.lap(&shared.metrics, Pass::Loudness.as_str(), &worker);
            remarks.extend(plan.level(&heard, target));
            Some(heard)
        }
        _ => None,
    };
    let headers = worker.open(facts.clone(), plan.clone()).await?;
    watch.lap(&shared.metrics, "open", &worker);
    let mut tracks = Vec::with_capacity(headers.len());
    for (track, header) in headers {
        let init = cmaf::init_segment(&plan, track, &header)?;
        let codec = cmaf::codec_string_of_init(&init)?;
        let (init_hash, init_bytes) = (ContentHash::of(&init), init.len() as u64);
        shared.store.put(Key::Object(id, init_hash), init).await?;
        tracks.push(TrackRecord { track, header, codec, init_hash, init_bytes, rates: None });
    }
    let mut title = shared.catalogue.planned(id, &facts, &plan, &tracks, &remarks, shared.now_ms()).await?;
    if let Some(heard) = heard {
        let remarks = loudness_remarks(&heard, &plan.audio);
        title = shared.catalogue.set_loudness(id, title.ledger, &heard, &remarks, shared.now_ms()).await?;
    }
    let passes = pass::needed(&title, &plan, &facts);
    Ok(Prepared::Planned { worker: Box::new(worker), plan, generation: title.ledger, passes })
}

/// How loud each sound of the plan is. One that cannot be measured is left out.
pub(super) async fn listen(worker: &mut Worker, plan: &Plan) -> Result<BTreeMap<u32, Loudness>, Failure> {
    let mut heard = BTreeMap::new();
    for track in plan.audio.iter().filter(|track| track.tier == AudioTier::Stereo) {
        match worker.listen(track.stream).await {
            Ok(loudness) => drop(heard.insert(track.stream, loudness)),
            Err(Failure::Rejected(problem)) => tracing::warn!(stream = track.stream, ?problem, "a sound cannot be measured"),
            Err(failure) => return Err(failure),
        }
    }
    Ok(heard)
}
