//! What the board gives out, and in which order.

use std::sync::Arc;

use super::*;
use crate::title::{Generation, Plan, sample};

fn plan(segments: u64) -> Arc<Plan> {
    let mut plan = sample::plan((25, 1), segments * 100, 4000);
    plan.video.pop();
    Arc::new(plan)
}

fn title(age: u64) -> TitleId {
    TitleId::new(age, 0)
}

fn make(board: &mut Board, slot: usize) -> Task {
    match board.next(slot) {
        Some(Work::Make(task)) => task,
        other => panic!("expected a segment, got {other:?}"),
    }
}

#[test]
fn what_somebody_waits_for_comes_first_then_beginnings() {
    let mut board = Board::default();
    board.add(title(1), Job::new(plan(20), Generation::FIRST, &[], &[]));
    assert_eq!(make(&mut board, 0).number, SegmentNumber(0));
    board.add(title(2), Job::new(plan(3), Generation::FIRST, &[], &[]));
    assert!(board.want(title(1), TrackId::video(1), SegmentNumber(12)));
    board.prepare(title(3));
    let wanted = make(&mut board, 0);
    assert_eq!((wanted.number, wanted.tracks), (SegmentNumber(12), vec![TrackId::video(1)]));
    assert_eq!(board.next(0), Some(Work::Prepare(title(3))));
    let beginning = make(&mut board, 1);
    assert_eq!((beginning.title, beginning.number), (title(2), SegmentNumber(0)));
    assert_eq!(beginning.tracks.len(), 3);
    assert_eq!(make(&mut board, 1).number, SegmentNumber(1));
}

#[test]
fn workers_keep_to_stretches_of_their_own() {
    let mut board = Board::default();
    board.add(title(1), Job::new(plan(20), Generation::FIRST, &[], &[]));
    let mut order = [Vec::new(), Vec::new()];
    for turn in 0..20 {
        let slot = turn % 2;
        let task = make(&mut board, slot);
        order[slot].push(task.number.0);
        board.made(&task);
    }
    assert_eq!(order[0][..8], [0, 1, 2, 3, 4, 5, 6, 7]);
    assert_eq!(order[1][..8], [8, 9, 10, 11, 12, 13, 14, 15]);
    assert_eq!(board.next(0), Some(Work::End(title(1), Ending::Finish)));
    assert_eq!(board.next(0), None);
}

#[test]
fn the_last_segment_is_shared_out() {
    let mut board = Board::new(2);
    board.add(title(1), Job::new(plan(3), Generation::FIRST, &[], &[]));
    assert_eq!(make(&mut board, 0).tracks.len(), 3);
    assert_eq!(make(&mut board, 1).tracks.len(), 3);
    let (one, other) = (make(&mut board, 0), make(&mut board, 1));
    assert_eq!((one.number, one.tracks), (SegmentNumber(2), vec![TrackId::video(0)]));
    assert_eq!((other.number, other.tracks), (SegmentNumber(2), vec![TrackId::video(1), TrackId::audio(0)]));
    assert_eq!(board.next(0), None);
}

#[test]
fn an_end_is_recorded_before_anything_else_is_done() {
    let mut board = Board::default();
    board.add(title(1), Job::new(plan(2), Generation::FIRST, &[], &[]));
    board.add(title(2), Job::new(plan(2), Generation::FIRST, &[], &[]));
    let failing = make(&mut board, 0);
    assert!(board.want(title(2), TrackId::video(0), SegmentNumber(1)));
    let problem = Problem::new(crate::title::ProblemCode::WorkerFailed);
    board.end(title(1), Ending::Fail(problem.clone()));
    assert_eq!(board.next(0), Some(Work::End(title(1), Ending::Fail(problem.clone()))));
    assert_eq!(make(&mut board, 0).title, title(2));
    board.made(&failing);
    assert_eq!(board.failed(&failing), 0, "it is no longer worked on");
    let mut left = 0;
    while let Some(Work::Make(task)) = board.next(0) {
        assert_eq!(task.title, title(2));
        left += 1;
    }
    assert_eq!(left, 2);
    board.end(title(1), Ending::Fail(problem));
    board.remove(title(1));
    assert_eq!(board.next(0), None, "deleted meanwhile");
}

#[test]
fn what_was_complete_before_is_ended() {
    let mut board = Board::default();
    let all: Vec<_> = plan(1).tracks().map(|track| (track, SegmentNumber(0))).collect();
    board.add(title(1), Job::new(plan(1), Generation::FIRST, &all, &[]));
    assert_eq!(board.next(0), Some(Work::End(title(1), Ending::Finish)));
}

#[test]
fn what_fails_is_open_again_and_counted() {
    let mut board = Board::default();
    board.add(title(1), Job::new(plan(1), Generation::FIRST, &[(TrackId::audio(0), SegmentNumber(0))], &[]));
    let task = make(&mut board, 0);
    assert_eq!(task.tracks, [TrackId::video(0), TrackId::video(1)]);
    assert_eq!(board.next(0), None);
    assert_eq!(board.failed(&task), 1);
    assert_eq!(make(&mut board, 0), task);
    assert_eq!(board.failed(&task), 2);
    assert!(board.remove(title(1)));
    assert_eq!(board.next(0), None);
}

#[test]
fn waiting_is_bounded() {
    let mut board = Board::default();
    for number in 0..WANTED_MAX as u32 {
        assert!(board.want(title(1), TrackId::video(0), SegmentNumber(number)));
    }
    assert!(board.want(title(1), TrackId::video(0), SegmentNumber(5)), "already waited for");
    assert!(!board.want(title(1), TrackId::video(0), SegmentNumber(5000)));
}

#[test]
fn passes_come_after_the_beginnings_and_the_title_waits_for_them() {
    let mut board = Board::default();
    board.add(title(1), Job::new(plan(2), Generation::FIRST, &[], &[Pass::Stills]));
    let first = make(&mut board, 0);
    assert_eq!(first.number, SegmentNumber(0));
    assert_eq!(board.next(1), Some(Work::Run(title(1), Pass::Stills)));
    let second = make(&mut board, 0);
    assert_eq!(second.number, SegmentNumber(1));
    assert_eq!(board.next(0), None, "it is being run");
    board.made(&first);
    board.made(&second);
    assert_eq!(board.next(0), None, "the pass is not over");
    assert_eq!(board.pass_failed(title(1), Pass::Stills), 1);
    assert_eq!(board.next(0), Some(Work::Run(title(1), Pass::Stills)));
    board.pass_failed_for_now(title(1), Pass::Stills);
    assert_eq!(board.next(0), Some(Work::Run(title(1), Pass::Stills)));
    assert_eq!(board.pass_failed(title(1), Pass::Stills), 2, "what passes by itself does not count");
    assert_eq!(board.next(0), Some(Work::Run(title(1), Pass::Stills)));
    board.pass_over(title(1), Pass::Stills);
    board.pass_over(title(1), Pass::Stills);
    assert_eq!(board.next(0), Some(Work::End(title(1), Ending::Finish)));
    assert_eq!(board.next(0), None);
}

#[test]
fn a_title_may_lack_nothing_but_a_pass() {
    let mut board = Board::default();
    let all: Vec<_> = plan(1).tracks().map(|track| (track, SegmentNumber(0))).collect();
    board.add(title(1), Job::new(plan(1), Generation::FIRST, &all, &[Pass::Stills]));
    assert_eq!(board.next(0), Some(Work::Run(title(1), Pass::Stills)));
    board.pass_over(title(1), Pass::Stills);
    assert_eq!(board.next(0), Some(Work::End(title(1), Ending::Finish)));
}
