//! Every way in which a worker can end, provoked: by the faulty workers in `tests/faulty`, and by the real one under duress.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use headwater::title::{ProblemCode, SegmentNumber, TrackId, plan};
use headwater::worker::{Failure, Settings, Worker};

use crate::clips::{clip, file};
use crate::harness::{Opened, policy, quick_policy, worker_settings};

/// No worker of these tests takes longer to be judged.
const LIMIT: Duration = Duration::from_secs(10);

fn impatient(program: impl Into<PathBuf>) -> Settings {
    Settings {
        program: program.into(),
        stall: Duration::from_millis(400),
        encoder_threads: false,
        survey_deadline: Duration::from_millis(1200),
        ..worker_settings()
    }
}

async fn survey_by(settings: &Settings) -> Failure {
    let start = Instant::now();
    let source = File::open(file("bin", b"nothing much")).expect("a file");
    let failure = match Worker::spawn(settings, source) {
        Ok(mut worker) => {
            let failure = worker.survey().await.expect_err("it cannot end well");
            // Whatever it said or did, it is gone by now, and a second question is answered at once and no better.
            assert!(worker.survey().await.is_err());
            failure
        }
        Err(failure) => failure,
    };
    assert!(start.elapsed() < LIMIT, "{:?} for {failure:?}", start.elapsed());
    failure
}

#[tokio::test]
async fn each_faulty_worker_is_told_apart() {
    for (name, expect) in [
        ("exits", "exited"),
        ("crashes", "crashed"),
        ("killed", "out-of-memory"),
        ("hangs", "timed-out"),
        ("hums", "timed-out"),
        ("crawls", "timed-out"),
        ("floods", "protocol-error"),
        ("announces", "protocol-error"),
        ("mumbles", "protocol-error"),
        ("lies", "protocol-error"),
        ("breaks-off", "exited"),
        ("is-not-there", "did-not-start"),
    ] {
        let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/faulty").join(name);
        let failure = survey_by(&impatient(program)).await;
        assert_eq!(failure.as_str(), expect, "{name}: {failure:?}");
        match failure {
            Failure::Exited { code, said } if name == "exits" => assert_eq!((code, said.as_str()), (7, "cannot go on")),
            Failure::Crashed { signal } => assert_eq!(signal, libc::SIGSEGV),
            _ => {}
        }
    }
}

#[tokio::test]
async fn what_is_no_program_does_not_start() {
    let failure = survey_by(&impatient(file("txt", b"I am no program"))).await;
    assert!(matches!(failure, Failure::DidNotStart(_)), "{failure:?}");
}

#[tokio::test]
async fn a_refusal_leaves_the_worker_of_use() {
    let film = clip("mp4", &["-f", "lavfi", "-i", "testsrc2=s=320x180:r=25:d=4", "-c:v", "libx264"]);
    let mut opened = Opened::new(&film, &quick_policy()).await.expect("opened");
    for (number, track) in
        [(SegmentNumber(99), TrackId::video(0)), (SegmentNumber(0), TrackId::audio(3)), (SegmentNumber(0), TrackId::video(9))]
    {
        match opened.worker.make(number, &[track]).await {
            Err(Failure::Rejected(problem)) => assert_eq!(problem.code, ProblemCode::WorkerFailed),
            other => panic!("{number} {track}: {other:?}"),
        }
    }
    assert_eq!(opened.make(SegmentNumber(0)).await.len(), opened.plan.video.len());
}

/// However little memory it is given, a worker does the work or says that memory was short.
#[tokio::test]
async fn too_little_memory_is_named() {
    let film = clip("mp4", &["-f", "lavfi", "-i", "testsrc2=s=1920x1080:r=25:d=1", "-c:v", "libx264", "-preset", "ultrafast"]);
    let facts =
        Worker::spawn(&worker_settings(), File::open(&film).expect("the file")).expect("a worker").survey().await.expect("facts").facts;
    let (plan, _) = plan(&facts, &policy()).expect("a plan");
    let mut out_of_memory = 0;
    let mut done = 0;
    for megabytes in [16_u64, 100, 200, 250, 300, 350, 400, 450, 500, 600, 4000] {
        let settings = Settings { memory_max_bytes: megabytes << 20, ..worker_settings() };
        let mut worker = Worker::spawn(&settings, File::open(&film).expect("the file")).expect("a worker");
        let tracks: Vec<TrackId> = plan.tracks().collect();
        let outcome = match worker.open(facts.clone(), plan.clone()).await {
            Ok(_) => worker.make(SegmentNumber(0), &tracks).await.map(|made| made.len()),
            Err(failure) => Err(failure),
        };
        println!("{megabytes} MiB: {outcome:?}");
        match outcome {
            Ok(count) => {
                assert_eq!(count, tracks.len());
                done += 1;
            }
            Err(Failure::OutOfMemory) => {
                out_of_memory += 1;
                assert!(worker.survey().await.is_err(), "it is dead");
            }
            Err(other) => panic!("{megabytes} MiB: {other:?}"),
        }
    }
    assert!(out_of_memory >= 2 && done >= 1, "{out_of_memory} times short, {done} times done");
}
