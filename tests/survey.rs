//! The survey by the real worker: what it finds in sound files, and how it refuses the others.

use std::fs::File;
use std::time::Duration;

use headwater::title::StreamFacts;
use headwater::worker::{Settings, Worker};

#[tokio::test]
async fn corpus() {
    let dir = std::env::var("HEADWATER_TEST_MEDIA").expect("dir");
    let mut files: Vec<_> = std::fs::read_dir(dir).expect("dir").map(|e| e.expect("e").path()).collect();
    files.sort();
    for path in files {
        let settings = Settings {
            program: env!("CARGO_BIN_EXE_headwater-worker").into(),
            memory_max_bytes: 4 << 30,
            stall: Duration::from_secs(30),
            survey_deadline: Duration::from_secs(60),
        };
        let start = std::time::Instant::now();
        let mut worker = Worker::spawn(&settings, File::open(&path).expect("open")).expect("spawn");
        let out = worker.survey().await;
        println!("== {} {:?}", path.file_name().expect("n").to_string_lossy(), start.elapsed());
        match out {
            Err(failure) => println!("   {failure:?}"),
            Ok(facts) => {
                println!("   {} {:?} corrupt {}", facts.container, facts.declared_duration_ms, facts.corrupt_packet_count);
                for s in facts.streams {
                    match s {
                        StreamFacts::Video(v) => println!(
                            "   V {} {}x{} sar{:?} {:?} {} {:?} {:?} n={} first={} last={} end={} med={} max={} reg={} decl={:?} keys={} lead={} tb={:?}",
                            v.codec,
                            v.width,
                            v.height,
                            v.sample_aspect,
                            v.orientation,
                            v.pixel_format,
                            v.colour,
                            v.field_order,
                            v.frame_count,
                            v.first_pts,
                            v.last_pts,
                            v.end_pts,
                            v.interval_median,
                            v.interval_max,
                            v.interval_regular_count,
                            v.declared_rate,
                            v.key_frames.len(),
                            v.undecodable_lead_count,
                            v.time_base
                        ),
                        StreamFacts::Audio(a) => println!(
                            "   A {} {} ch{} {:?} first={} end={} anchors={} disc={} tb={:?} {:?}",
                            a.codec,
                            a.sample_rate,
                            a.channels,
                            a.language,
                            a.first_sample,
                            a.end_sample,
                            a.anchors.len(),
                            a.discontinuity_count,
                            a.time_base,
                            a.anchors.first()
                        ),
                        other => println!("   {other:?}"),
                    }
                }
            }
        }
    }
}
