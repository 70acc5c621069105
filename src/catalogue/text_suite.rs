//! What any catalogue must do with generations that change nothing but text, and the tests that run it on SQLite in a file.

use super::sample::{facts, plan, rates, segments, title_id, tracks};
use super::{Catalogue, Contradiction, Error, Generations, Life, SourceRecord};
use crate::title::sample::text_track;
use crate::title::{ContentHash, Generation, Plan, Problem, ProblemCode, TextKind, TextTrack, TitleId, TitleState};

const FIRST: Generation = Generation::FIRST;

/// A track named so that appeared in `generation`; its document is named like it.
fn track(name: &str, generation: u32) -> TextTrack {
    text_track(name, Some("en"), TextKind::Subtitles, (generation, 0))
}

fn named(tracks: &[&TextTrack]) -> Vec<(ContentHash, u64)> {
    let mut named: Vec<_> = tracks.iter().map(|track| (track.document, track.document_bytes)).collect();
    named.sort_unstable();
    named
}

async fn planned(catalogue: &Catalogue, id: TitleId, text: Vec<TextTrack>) {
    catalogue.create_title(id, "film", 1).await.expect("created");
    let source = SourceRecord { bytes: 6, sha256: ContentHash::of(b"source") };
    catalogue.source_received(id, source, 2).await.expect("received");
    let plan = Plan { text, ..plan() };
    for track in &plan.text {
        catalogue.document_coming(id, track.document).await.expect("noted");
    }
    catalogue.planned(id, &facts(), &plan, &tracks(), &[], 3).await.expect("planned");
}

fn is_conflict<T: std::fmt::Debug>(result: super::Result<T>) -> bool {
    matches!(result, Err(Error::Conflict(_)))
}

async fn text_changes_while_segments_are_made(catalogue: &Catalogue) {
    let id = title_id(1);
    planned(catalogue, id, vec![track("one", 1)]).await;
    catalogue.commit_segments(id, FIRST, &segments()[..4], 4).await.expect("committed");
    let text = vec![track("one", 1), track("two", 2)];
    let title = catalogue.retext(id, FIRST, &text, 5).await.expect("changed");
    assert_eq!((title.generation, title.ledger, title.state), (Generation(2), FIRST, TitleState::Processing));
    assert_eq!((title.segments_done, title.updated_at_ms), (4, 5));
    assert!(is_conflict(catalogue.retext(id, FIRST, &text, 5).await), "somebody else was first");

    // Whoever makes segments knows the first generation alone, and goes on.
    catalogue.commit_segments(id, FIRST, &segments()[4..], 6).await.expect("committed");
    assert!(is_conflict(catalogue.commit_segments(id, Generation(2), &segments(), 6).await));
    catalogue.retext(id, Generation(2), &[track("two", 2)], 7).await.expect("changed");
    assert!(is_conflict(catalogue.finish(id, Generation(3), &rates(), &[], 8).await));
    let title = catalogue.finish(id, FIRST, &rates(), &[], 8).await.expect("finished");
    assert_eq!((title.generation, title.ledger, title.state, title.segments_done), (Generation(3), FIRST, TitleState::Ready, 9));
    assert_eq!(catalogue.retext(id, Generation(3), &[], 9).await.expect("changed").state, TitleState::Ready);

    for (generation, text, planned_at_ms) in
        [(1, vec![track("one", 1)], 3), (2, vec![track("one", 1), track("two", 2)], 5), (3, vec![track("two", 2)], 7), (4, vec![], 9)]
    {
        let record = catalogue.plan(id, Generation(generation)).await.expect("a generation");
        assert_eq!((record.generation, record.ledger, record.planned_at_ms), (Generation(generation), FIRST, planned_at_ms));
        assert_eq!((record.finished_at_ms, record.tracks.len()), (Some(8), 3), "those of the ledger");
        assert_eq!(record.plan, Plan { text, ..plan() });
    }
    assert!(matches!(catalogue.plan(id, Generation(5)).await, Err(Error::NotFound(_))));
    assert_eq!(catalogue.contradictions(10).await.expect("asked"), []);
}

async fn only_titles_with_tracks_take_text(catalogue: &Catalogue) {
    let (unplanned, failed, deleted) = (title_id(1), title_id(2), title_id(3));
    catalogue.create_title(unplanned, "film", 1).await.expect("created");
    assert!(is_conflict(catalogue.retext(unplanned, FIRST, &[], 2).await));
    planned(catalogue, failed, Vec::new()).await;
    catalogue.retext(failed, FIRST, &[track("one", 2)], 4).await.expect("changed");
    catalogue.fail(failed, &Problem::new(ProblemCode::WorkerFailed), 5).await.expect("failed");
    assert!(is_conflict(catalogue.retext(failed, Generation(2), &[], 6).await));
    assert_eq!(catalogue.documents(failed).await.expect("asked"), [], "nothing of it is named any more");
    planned(catalogue, deleted, Vec::new()).await;
    catalogue.document_coming(deleted, ContentHash::of(b"x")).await.expect("noted");
    catalogue.mark_deleted(deleted, 7).await.expect("deleted");
    assert!(matches!(catalogue.retext(deleted, FIRST, &[], 8).await, Err(Error::NotFound(_))));
    assert!(matches!(catalogue.document_coming(deleted, ContentHash::of(b"x")).await, Err(Error::NotFound(_))));
    assert_eq!(catalogue.loose_documents().await.expect("asked"), []);
    assert_eq!(catalogue.contradictions(10).await.expect("asked"), []);
}

async fn documents_are_named_or_loose(catalogue: &Catalogue) {
    let id = title_id(1);
    let (one, two) = (track("one", 1), track("two", 2));
    planned(catalogue, id, vec![one.clone()]).await;
    catalogue.document_coming(id, two.document).await.expect("noted");
    catalogue.document_coming(id, two.document).await.expect("noted already");
    assert_eq!(catalogue.loose_documents().await.expect("asked"), [(id, two.document)]);
    catalogue.retext(id, FIRST, std::slice::from_ref(&two), 4).await.expect("changed");
    assert_eq!(catalogue.loose_documents_of(id).await.expect("asked"), []);
    assert_eq!(catalogue.documents(id).await.expect("asked"), named(&[&one, &two]), "the first generation is still answered");
    catalogue.document_coming(id, ContentHash::of(b"never put")).await.expect("noted");
    catalogue.document_gone(id, ContentHash::of(b"never put")).await.expect("dropped");
    assert_eq!(catalogue.loose_documents_of(id).await.expect("asked"), []);
}

async fn old_generations_are_forgotten(catalogue: &Catalogue) {
    let id = title_id(1);
    planned(catalogue, id, vec![track("source", 1)]).await;
    let kept = track("kept", 2);
    catalogue.retext(id, FIRST, std::slice::from_ref(&kept), 4).await.expect("changed");
    for generation in 3..=88 {
        let text = [kept.clone(), track(&format!("n{generation}"), generation)];
        catalogue.retext(id, Generation(generation - 1), &text, 5).await.expect("changed");
    }
    let answered = async |generation| catalogue.plan(id, Generation(generation)).await.is_ok();
    assert!(answered(1).await && answered(2).await, "the first, and the one whose track is still shown");
    assert!(!answered(3).await && !answered(24).await && answered(25).await && answered(88).await);
    assert_eq!(catalogue.documents(id).await.expect("asked").len(), 2 + 64);
    // Generations 3 to 24 are gone, and each had a document of its own.
    let loose = catalogue.loose_documents_of(id).await.expect("asked");
    assert_eq!(loose.len(), 22);
    assert!(loose.contains(&track("n3", 3).document) && !loose.contains(&track("n25", 25).document));
    catalogue.retext(id, Generation(88), &[], 6).await.expect("changed");
    assert!(!answered(2).await, "its track is not shown any more");
    assert!(catalogue.loose_documents_of(id).await.expect("asked").contains(&track("n25", 25).document));
    assert_eq!(catalogue.contradictions(10).await.expect("asked"), []);
}

async fn generations_end(catalogue: &Catalogue) {
    let id = title_id(1);
    planned(catalogue, id, vec![track("source", 1)]).await;
    let (shared, old, new) = (track("shared", 2), track("old", 2), track("new", 3));
    for (text, now_ms) in [(vec![shared.clone(), old.clone()], 20), (vec![shared.clone(), new.clone()], 30), (vec![shared.clone()], 40)] {
        let title = catalogue.title(id).await.expect("a title");
        catalogue.retext(id, title.generation, &text, now_ms).await.expect("changed");
    }
    let generations = catalogue.generations(id).await.expect("asked");
    assert_eq!(generations.life(Generation(2), shared.id()), Some(Life::Shown));
    assert_eq!(generations.life(Generation(3), new.id()), Some(Life::Ended { at_ms: 40 }));
    assert!(!catalogue.forget_ended(id, 40).await.expect("asked"), "all of it was shown until then");
    assert!(catalogue.forget_ended(id, 41).await.expect("forgotten"));
    let answered = async |generation| catalogue.plan(id, Generation(generation)).await.is_ok();
    assert!(answered(1).await && answered(2).await && !answered(3).await && answered(4).await, "a track of the second is still shown");
    assert_eq!(catalogue.loose_documents_of(id).await.expect("asked"), [new.document]);
    assert!(!catalogue.forget_ended(id, 41).await.expect("asked"), "once");
    // The first generation is the plan itself, and what is shared with it stays.
    assert!(!catalogue.forget_ended(id, i64::MAX).await.expect("asked"));
    assert_eq!(catalogue.generations(title_id(9)).await.expect("asked"), Generations::default());
    assert_eq!(catalogue.contradictions(10).await.expect("asked"), []);
}

macro_rules! on_sqlite {
    ($($name:ident)*) => {
        mod on_sqlite {
            use super::Catalogue;
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $name() {
                    let directory = tempfile::tempdir().expect("a directory");
                    let catalogue = Catalogue::open(&directory.path().join("catalogue.sqlite")).await.expect("a catalogue");
                    super::$name(&catalogue).await;
                    catalogue.close().await;
                }
            )*
        }
    };
}

on_sqlite! {
    text_changes_while_segments_are_made
    only_titles_with_tracks_take_text
    documents_are_named_or_loose
    old_generations_are_forgotten
    generations_end
}

#[tokio::test]
async fn a_lost_generation_is_found() {
    let directory = tempfile::tempdir().expect("a directory");
    let catalogue = Catalogue::open(&directory.path().join("catalogue.sqlite")).await.expect("a catalogue");
    let id = title_id(1);
    planned(&catalogue, id, Vec::new()).await;
    catalogue.retext(id, FIRST, &[track("one", 2)], 4).await.expect("changed");
    sqlx::query("DELETE FROM texts").execute(&catalogue.writer).await.expect("damaged");
    assert_eq!(catalogue.contradictions(10).await.expect("asked"), [Contradiction::GenerationUnknown { title: id }]);
    catalogue.close().await;
}
