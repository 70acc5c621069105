//! What any catalogue must do: functions over an empty one, and the tests that run them on SQLite in a file.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::task::JoinSet;

use super::sample::{facts, loudness, plan, rates, segment, segments, stills, title_id, tracks};
use super::{Catalogue, Change, Contradiction, Cursor, Error, SegmentRecord, SourceRecord, TitleRecord};
use crate::title::{ContentHash, Generation, Problem, ProblemCode, Remark, RemarkCode, SegmentNumber, Still, TitleId, TitleState, TrackId};

const FIRST: Generation = Generation::FIRST;

fn source() -> SourceRecord {
    SourceRecord { bytes: 6, sha256: ContentHash::of(b"source") }
}

fn remark(message: &str) -> Remark {
    Remark::new(RemarkCode::Rotated, message)
}

async fn planned(catalogue: &Catalogue, id: TitleId) -> TitleRecord {
    catalogue.create_title(id, "film", 1).await.expect("created");
    catalogue.source_received(id, source(), 2).await.expect("received");
    catalogue.planned(id, &facts(), &plan(), &tracks(), &[remark("one")], 3).await.expect("planned")
}

fn is_conflict<T: std::fmt::Debug>(result: super::Result<T>) -> bool {
    matches!(result, Err(Error::Conflict(_)))
}

fn is_not_found<T: std::fmt::Debug>(result: super::Result<T>) -> bool {
    matches!(result, Err(Error::NotFound(_)))
}

async fn a_title_goes_all_the_way(catalogue: &Catalogue) {
    let id = title_id(1);
    let created = catalogue.create_title(id, "film.mp4", 10).await.expect("created");
    assert_eq!((created.state, created.created_at_ms, created.source), (TitleState::Receiving, 10, None));
    let received = catalogue.source_received(id, source(), 20).await.expect("received");
    assert_eq!((received.state, received.updated_at_ms, received.source), (TitleState::Surveying, 20, Some(source())));
    assert!(is_not_found(catalogue.plan(id, FIRST).await));
    let title = catalogue.planned(id, &facts(), &plan(), &tracks(), &[remark("one")], 30).await.expect("planned");
    assert_eq!((title.state, title.generation, title.segments_total), (TitleState::Processing, FIRST, 9));

    let record = catalogue.plan(id, FIRST).await.expect("a plan");
    assert_eq!((record.plan, record.facts, record.tracks), (plan(), facts(), tracks()));
    assert_eq!((record.planned_at_ms, record.finished_at_ms), (30, None));

    assert!(is_conflict(catalogue.finish(id, FIRST, &rates(), &[], 31).await), "no segment is there");
    let (first, rest) = (segments()[..4].to_vec(), segments()[4..].to_vec());
    let title = catalogue.commit_segments(id, FIRST, &first, 40).await.expect("committed");
    assert_eq!((title.segments_done, title.updated_at_ms), (4, 40));
    assert_eq!(catalogue.made(id, FIRST).await.expect("made").len(), 4);
    assert!(is_conflict(catalogue.finish(id, FIRST, &rates(), &[], 41).await), "five are missing");
    catalogue.commit_segments(id, FIRST, &rest, 50).await.expect("committed");
    assert_eq!(catalogue.ledger(id, FIRST).await.expect("a ledger"), segments());
    let from = catalogue.ledger_from(id, FIRST, TrackId::video(1), SegmentNumber(1), 1).await.expect("rows");
    assert_eq!(from, [segment(TrackId::video(1), 1)]);
    let one = catalogue.segment(id, FIRST, TrackId::audio(0), SegmentNumber(2)).await.expect("a row");
    assert_eq!(one, segment(TrackId::audio(0), 2));
    assert!(is_not_found(catalogue.segment(id, Generation(2), TrackId::audio(0), SegmentNumber(2)).await));

    assert!(is_conflict(catalogue.finish(id, FIRST, &rates()[1..], &[], 55).await), "a track has no rates");
    let title = catalogue.finish(id, FIRST, &rates(), &[remark("two")], 60).await.expect("finished");
    assert_eq!((title.state, title.segments_done, title.remarks), (TitleState::Ready, 9, vec![remark("one"), remark("two")]));
    let record = catalogue.plan(id, FIRST).await.expect("a plan");
    assert_eq!(record.finished_at_ms, Some(60));
    assert!(record.tracks.iter().zip(rates()).all(|(track, (id, rates))| track.track == id && track.rates == Some(rates)));
    assert_eq!(catalogue.contradictions(10).await.expect("asked"), []);
}

async fn loudness_is_kept_with_its_plan(catalogue: &Catalogue) {
    let id = title_id(1);
    let heard = BTreeMap::from([(1, loudness())]);
    assert!(is_not_found(catalogue.set_loudness(id, FIRST, &heard, &[], 1).await));
    planned(catalogue, id).await;
    assert_eq!(catalogue.plan(id, FIRST).await.expect("a plan").loudness, None);
    let before = catalogue.title(id).await.expect("a title");
    let title = catalogue.set_loudness(id, FIRST, &heard, &[remark("quiet")], 6).await.expect("kept");
    assert!(title.has_loudness && !before.has_loudness && title.revision > before.revision);
    assert_eq!(title.remarks.len(), before.remarks.len() + 1);
    assert_eq!((title.state, title.segments_total), (before.state, before.segments_total));
    assert_eq!(catalogue.plan(id, FIRST).await.expect("a plan").loudness, Some(heard.clone()));
    assert!(is_conflict(catalogue.set_loudness(id, Generation(2), &heard, &[], 7).await));
    let problem = Problem::new(ProblemCode::WorkerFailed);
    catalogue.fail(id, &problem, 8).await.expect("failed");
    assert!(is_not_found(catalogue.set_loudness(id, FIRST, &heard, &[], 9).await));
}

async fn stills_are_kept_once_and_go_with_the_title(catalogue: &Catalogue) {
    let id = title_id(1);
    assert!(is_not_found(catalogue.keep_stills(id, FIRST, &stills(), &[], 1).await));
    planned(catalogue, id).await;
    assert!(is_conflict(catalogue.keep_stills(id, Generation(2), &stills(), &[], 4).await));
    assert!(is_not_found(catalogue.still(id, FIRST, Still::Poster).await));
    let title = catalogue.keep_stills(id, FIRST, &stills(), &[remark("two")], 4).await.expect("kept");
    assert_eq!((title.has_poster, title.has_storyboard, title.updated_at_ms), (true, true, 4));
    assert_eq!(title.remarks, [remark("one"), remark("two")]);
    let again = catalogue.keep_stills(id, FIRST, &stills()[..1], &[remark("three")], 5).await.expect("passed over");
    assert_eq!(again, title);
    assert_eq!(catalogue.stills(id, FIRST).await.expect("rows"), stills());
    assert_eq!(catalogue.still(id, FIRST, Still::Sprite(0)).await.expect("a row"), stills()[1]);
    assert!(is_not_found(catalogue.still(id, FIRST, Still::Sprite(1)).await));
    let failed = catalogue.fail(id, &Problem::new(ProblemCode::WorkerFailed), 6).await.expect("failed");
    assert!(!failed.has_poster && !failed.has_storyboard);
    assert_eq!(catalogue.stills(id, FIRST).await.expect("rows"), []);
    assert!(is_conflict(catalogue.keep_stills(id, FIRST, &stills(), &[], 7).await));
}

async fn states_are_not_skipped(catalogue: &Catalogue) {
    let id = title_id(1);
    assert!(is_not_found(catalogue.source_received(id, source(), 1).await));
    catalogue.create_title(id, "film", 1).await.expect("created");
    let before = catalogue.revision().await.expect("a revision");
    assert!(is_conflict(catalogue.create_title(id, "film", 1).await));
    assert!(is_conflict(catalogue.planned(id, &facts(), &plan(), &tracks(), &[], 2).await));
    assert!(is_conflict(catalogue.commit_segments(id, FIRST, &segments(), 2).await));
    assert!(is_conflict(catalogue.finish(id, FIRST, &rates(), &[], 2).await));
    catalogue.source_received(id, source(), 2).await.expect("received");
    assert!(is_conflict(catalogue.source_received(id, source(), 2).await));
    assert!(is_conflict(catalogue.planned(id, &facts(), &plan(), &tracks()[1..], &[], 2).await), "a track is missing");
    assert_eq!(catalogue.revision().await.expect("a revision"), before + 1, "what was refused left no trace");
    assert_eq!(catalogue.title(id).await.expect("a title").state, TitleState::Surveying);
}

async fn committing_twice_is_committing_once(catalogue: &Catalogue) {
    let id = title_id(1);
    planned(catalogue, id).await;
    let some = segments()[..3].to_vec();
    let title = catalogue.commit_segments(id, FIRST, &some, 4).await.expect("committed");
    assert_eq!(catalogue.commit_segments(id, FIRST, &some, 5).await.expect("committed again"), title, "nothing changed");
    let mixed = segments()[2..5].to_vec();
    assert_eq!(catalogue.commit_segments(id, FIRST, &mixed, 6).await.expect("committed").segments_done, 5);

    let other = SegmentRecord { hash: ContentHash::of(b"other"), ..segments()[1] };
    assert!(is_conflict(catalogue.commit_segments(id, FIRST, &[segments()[6], other], 7).await));
    assert!(is_not_found(catalogue.segment(id, FIRST, segments()[6].track, segments()[6].number).await), "all or none");
    for unplanned in [segment(TrackId::video(0), 3), segment(TrackId::video(2), 0), segment(TrackId::audio(1), 0)] {
        assert!(is_conflict(catalogue.commit_segments(id, FIRST, &[unplanned], 8).await));
    }
    assert!(is_conflict(catalogue.commit_segments(id, Generation(2), &some, 9).await));
    assert!(is_not_found(catalogue.commit_segments(title_id(2), FIRST, &some, 9).await));
    assert_eq!(catalogue.title(id).await.expect("a title").segments_done, 5);
}

async fn a_failed_title_keeps_only_the_reason(catalogue: &Catalogue) {
    let id = title_id(1);
    planned(catalogue, id).await;
    catalogue.commit_segments(id, FIRST, &segments(), 4).await.expect("committed");
    let problem = Problem::with_detail(ProblemCode::WorkerFailed, "signal 11");
    let title = catalogue.fail(id, &problem, 5).await.expect("failed");
    assert_eq!((title.state, title.problem, title.source), (TitleState::Failed, Some(problem.clone()), Some(source())));
    assert_eq!((title.segments_done, title.segments_total), (0, 0));
    assert!(is_not_found(catalogue.plan(id, FIRST).await));
    assert_eq!(catalogue.ledger(id, FIRST).await.expect("a ledger"), []);
    assert!(is_conflict(catalogue.fail(id, &problem, 6).await));
    assert!(is_conflict(catalogue.commit_segments(id, FIRST, &segments(), 6).await));
    assert_eq!(catalogue.rename(id, "broken film", 7).await.expect("renamed").name, "broken film");
    assert_eq!(catalogue.contradictions(10).await.expect("asked"), []);
}

async fn a_deleted_title_vanishes_at_once(catalogue: &Catalogue) {
    let (id, kept) = (title_id(1), title_id(2));
    planned(catalogue, id).await;
    planned(catalogue, kept).await;
    catalogue.commit_segments(id, FIRST, &segments(), 4).await.expect("committed");
    let seen = catalogue.revision().await.expect("a revision");
    let revision = catalogue.mark_deleted(id, 5).await.expect("deleted");
    assert!(revision > seen);
    assert_eq!(catalogue.changed_since(seen, 10).await.expect("changes"), [Change::Deleted { id, revision }]);

    assert!(is_not_found(catalogue.title(id).await));
    assert!(is_not_found(catalogue.plan(id, FIRST).await));
    assert!(is_not_found(catalogue.segment(id, FIRST, TrackId::video(0), SegmentNumber(0)).await));
    assert_eq!(catalogue.made(id, FIRST).await.expect("made"), []);
    assert!(is_not_found(catalogue.commit_segments(id, FIRST, &segments(), 6).await), "a late worker");
    assert!(is_not_found(catalogue.mark_deleted(id, 6).await));
    assert!(is_conflict(catalogue.create_title(id, "again", 6).await));
    assert_eq!(catalogue.known_ids().await.expect("ids"), [kept]);
    assert_eq!(catalogue.unfinished().await.expect("ids"), [kept]);

    assert_eq!(catalogue.garbage().await.expect("garbage"), [id]);
    catalogue.drop_garbage(id).await.expect("dropped");
    catalogue.drop_garbage(id).await.expect("dropped already");
    assert_eq!(catalogue.garbage().await.expect("garbage"), []);
    assert_eq!(catalogue.changed_since(seen, 10).await.expect("changes").len(), 1, "watchers still learn of it");
}

async fn pages_stay_in_place(catalogue: &Catalogue) {
    for age in [3, 1, 5, 2, 4] {
        catalogue.create_title(title_id(age), &format!("film {age}"), 1).await.expect("created");
    }
    let first = catalogue.titles(2, None, None).await.expect("a page");
    let names = |page: &super::Page| page.titles.iter().map(|title| title.name.clone()).collect::<Vec<_>>();
    assert_eq!(names(&first), ["film 5", "film 4"]);
    let cursor = first.next.expect("more");
    assert_eq!(Cursor::parse(&cursor.to_string()), Ok(cursor));
    catalogue.create_title(title_id(6), "film 6", 2).await.expect("created");
    catalogue.mark_deleted(title_id(4), 3).await.expect("deleted, though the cursor stands on it");
    catalogue.source_received(title_id(2), source(), 4).await.expect("received");
    let second = catalogue.titles(2, Some(cursor), None).await.expect("a page");
    assert_eq!(names(&second), ["film 3", "film 2"]);
    let last = catalogue.titles(2, second.next, None).await.expect("a page");
    assert_eq!((names(&last), last.next), (vec!["film 1".to_owned()], None));
    let surveying = catalogue.titles(9, None, Some(TitleState::Surveying)).await.expect("a page");
    assert_eq!((names(&surveying), surveying.next), (vec!["film 2".to_owned()], None));
    let unfinished = catalogue.unfinished().await.expect("ids");
    assert_eq!(unfinished, [1, 2, 3, 5, 6].map(title_id), "oldest first");
}

async fn watchers_learn_every_change(catalogue: &Catalogue) {
    let mut watch = catalogue.watch();
    assert!(!watch.has_changed().expect("open"));
    let (one, two) = (title_id(1), title_id(2));
    catalogue.create_title(one, "one", 1).await.expect("created");
    catalogue.create_title(two, "two", 2).await.expect("created");
    catalogue.rename(one, "uno", 3).await.expect("renamed");
    watch.changed().await.expect("told");
    assert_eq!(*watch.borrow_and_update(), 3);
    let changes = catalogue.changed_since(0, 10).await.expect("changes");
    assert_eq!(changes.iter().map(Change::revision).collect::<Vec<_>>(), [2, 3], "one change a title, the latest");
    assert!(matches!(&changes[1], Change::Title(title) if title.name == "uno"));
    assert_eq!(catalogue.changed_since(0, 1).await.expect("changes")[0].revision(), 2);
    assert_eq!(catalogue.changed_since(3, 10).await.expect("changes"), []);
    assert!(is_conflict(catalogue.create_title(one, "one", 4).await));
    assert!(!watch.has_changed().expect("open"), "a refusal is no change");
}

async fn many_at_once(catalogue: &Catalogue) {
    let titles: Vec<TitleId> = (1..=8).map(title_id).collect();
    for id in &titles {
        planned(catalogue, *id).await;
    }
    let start = catalogue.revision().await.expect("a revision");
    let mut tasks = JoinSet::new();
    for id in titles.clone() {
        // Each segment is committed twice by rivals, while readers look on.
        for segment in segments().into_iter().chain(segments()) {
            let catalogue = catalogue.clone();
            tasks.spawn(async move {
                let title = catalogue.commit_segments(id, FIRST, &[segment], 4).await.expect("committed");
                let made = catalogue.made(id, FIRST).await.expect("made").len() as u64;
                assert!(made >= title.segments_done, "what was committed is seen");
            });
        }
    }
    while let Some(done) = tasks.join_next().await {
        done.expect("no panic");
    }
    assert_eq!(catalogue.revision().await.expect("a revision"), start + 8 * 9, "one revision a new row");
    for id in titles {
        assert_eq!(catalogue.finish(id, FIRST, &rates(), &[], 5).await.expect("finished").segments_done, 9);
    }
    assert_eq!(catalogue.contradictions(10).await.expect("asked"), []);
}

async fn callers_may_go_away(catalogue: &Catalogue) {
    let id = title_id(1);
    planned(catalogue, id).await;
    let catalogue = Arc::new(catalogue.clone());
    for round in 0..200_u32 {
        let name = format!("name {round}");
        let rename = {
            let catalogue = catalogue.clone();
            tokio::spawn(async move { catalogue.rename(id, &name, 1).await.map(drop) })
        };
        for _ in 0..round % 40 {
            tokio::task::yield_now().await;
        }
        rename.abort();
        let _ = rename.await;
    }
    let title = catalogue.commit_segments(id, FIRST, &segments(), 2).await.expect("the writer is not stuck");
    assert_eq!(title.segments_done, 9);
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
    a_title_goes_all_the_way
    loudness_is_kept_with_its_plan
    stills_are_kept_once_and_go_with_the_title
    states_are_not_skipped
    committing_twice_is_committing_once
    a_failed_title_keeps_only_the_reason
    a_deleted_title_vanishes_at_once
    pages_stay_in_place
    watchers_learn_every_change
    many_at_once
    callers_may_go_away
}

#[tokio::test]
async fn everything_is_there_after_reopening() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("catalogue.sqlite");
    let id = title_id(1);
    let catalogue = Catalogue::open(&path).await.expect("a catalogue");
    planned(&catalogue, id).await;
    let before = catalogue.commit_segments(id, FIRST, &segments()[..5], 4).await.expect("committed");
    // Dropped without a word, as a killed process would.
    drop(catalogue);
    let catalogue = Catalogue::open(&path).await.expect("the catalogue again");
    assert_eq!(catalogue.title(id).await.expect("a title"), before);
    assert_eq!(*catalogue.watch().borrow(), before.revision);
    assert_eq!(catalogue.ledger(id, FIRST).await.expect("a ledger"), segments()[..5]);
    assert_eq!(catalogue.plan(id, FIRST).await.expect("a plan").plan, plan());
    catalogue.close().await;
}

#[tokio::test]
async fn what_is_no_catalogue_is_corrupt_or_unavailable() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("catalogue.sqlite");
    std::fs::write(&path, vec![b'x'; 8192]).expect("written");
    assert!(matches!(Catalogue::open(&path).await, Err(Error::Corrupt(_))));
    assert!(matches!(Catalogue::open(&directory.path().join("absent/catalogue.sqlite")).await, Err(Error::Unavailable(_))));
}

#[tokio::test]
async fn contradictions_are_found() {
    let directory = tempfile::tempdir().expect("a directory");
    let catalogue = Catalogue::open(&directory.path().join("catalogue.sqlite")).await.expect("a catalogue");
    let id = title_id(1);
    planned(&catalogue, id).await;
    catalogue.commit_segments(id, FIRST, &segments(), 4).await.expect("committed");
    catalogue.finish(id, FIRST, &rates(), &[], 5).await.expect("finished");
    for (damage, expect) in [
        (
            "DELETE FROM segments WHERE track = 'v1' AND number = 2",
            vec![
                Contradiction::Incomplete { title: id, track: TrackId::video(1), rows: 2, planned: 3 },
                Contradiction::Miscounted { title: id, counted: 9, rows: 8 },
            ],
        ),
        (
            "UPDATE segments SET number = 7 WHERE track = 'v1' AND number = 1",
            vec![
                Contradiction::Incomplete { title: id, track: TrackId::video(1), rows: 2, planned: 3 },
                Contradiction::Unplanned { title: id, track: TrackId::video(1), number: 7 },
                Contradiction::Miscounted { title: id, counted: 9, rows: 8 },
            ],
        ),
        (
            "DELETE FROM plans",
            vec![
                Contradiction::Miscounted { title: id, counted: 9, rows: 0 },
                Contradiction::PlanAgainstState { title: id, state: "ready".into(), planned: false },
            ],
        ),
        (
            "UPDATE titles SET source_bytes = NULL, source_sha256 = NULL, segments_done = 0",
            vec![
                Contradiction::PlanAgainstState { title: id, state: "ready".into(), planned: false },
                Contradiction::SourceUnknown { title: id },
            ],
        ),
    ] {
        sqlx::query(damage).execute(&catalogue.writer).await.expect("damaged");
        assert_eq!(catalogue.contradictions(10).await.expect("asked"), expect, "{damage}");
    }
    catalogue.close().await;
}

/// As SQLite does by itself when the disk is full.
#[tokio::test]
async fn a_transaction_that_was_taken_back_unasked_does_not_outlive_its_caller() {
    let directory = tempfile::tempdir().expect("a directory");
    let catalogue = Catalogue::open(&directory.path().join("catalogue.sqlite")).await.expect("a catalogue");
    for (pool, begin) in [(&catalogue.writer, "BEGIN IMMEDIATE"), (&catalogue.readers, "BEGIN")] {
        let mut transaction = pool.begin_with(begin).await.expect("begun");
        sqlx::query("ROLLBACK").execute(&mut *transaction).await.expect("taken back");
        assert!(transaction.commit().await.is_err());
    }
    planned(&catalogue, title_id(1)).await;
    assert_eq!(catalogue.contradictions(10).await.expect("asked"), []);
    catalogue.close().await;
}
