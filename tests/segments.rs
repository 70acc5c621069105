//! Segments by the real worker.

use crate::harness::{Opened, policy};

#[tokio::test]
async fn experiment() {
    let dir = std::env::var("HEADWATER_TEST_MEDIA").expect("dir");
    let mut files: Vec<_> = std::fs::read_dir(dir).expect("dir").map(|e| e.expect("e").path()).collect();
    files.sort();
    for path in files {
        let name = path.file_name().expect("n").to_string_lossy().into_owned();
        let opened2;
        let Ok(mut opened) = Opened::new(&path, &policy()).await else { continue };
        let start = std::time::Instant::now();
        let made = match tokio::spawn(async move {
            let m = opened.make_all().await;
            (opened, m)
        })
        .await
        {
            Ok((o, m)) => {
                opened2 = o;
                m
            }
            Err(e) => {
                println!("!! {name} {e}");
                continue;
            }
        };
        let opened = opened2;
        println!(
            "== {name} {} frames at {} {:?} took {:?}",
            opened.plan.timeline.frame_count(),
            opened.plan.timeline.frame_rate(),
            opened.plan.timeline.duration_ms(),
            start.elapsed()
        );
        for (track, segments) in made {
            let concealed: u64 = segments.iter().map(|s| s.concealed).sum();
            let dropped: u64 = segments.iter().map(|s| s.dropped).sum();
            let mut bytes = opened.init(track).to_vec();
            for s in &segments {
                bytes.extend_from_slice(&s.bytes);
            }
            println!("   {track} {} segments {} bytes concealed {concealed} dropped {dropped}", segments.len(), bytes.len());
            std::fs::create_dir_all("/tmp/out").expect("d");
            std::fs::write(format!("/tmp/out/{name}.{track}.mp4"), bytes).expect("w");
        }
    }
}
