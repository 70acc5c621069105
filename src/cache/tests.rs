//! One fill however many ask, whoever leaves; capacity kept; nothing stale after an invalidation.

use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use http::HeaderValue;
use tokio::sync::{Notify, oneshot};

use super::*;
use crate::title::ContentHash;

type Numbers = Cache<u32, String>;

const CONFIG: Config = Config { bytes: 1 << 20, fills_max: 4, read_ahead: 0 };

/// Large numbers are documents.
impl CacheKey for u32 {
    fn is_document(&self) -> bool {
        *self >= 1 << 31
    }
}

/// What begins with "no " is remembered.
impl Absence for String {
    fn is_remembered(&self) -> bool {
        self.starts_with("no ")
    }
}

fn cache() -> Numbers {
    Cache::new(&CONFIG, Metrics::default())
}

fn object(bytes: impl Into<Bytes>) -> Object {
    let (bytes, value) = (bytes.into(), HeaderValue::from_static("x"));
    let hash = ContentHash::of(&bytes);
    Object::new(bytes, hash, 0, value.clone(), value, true)
}

async fn fill(cache: &Numbers, key: u32, body: &'static str) -> (String, CacheOutcome) {
    let (result, outcome) = cache.get_or_fill(key, async move |_| Ok(object(body))).await;
    (String::from_utf8(result.expect("an object").bytes.to_vec()).expect("text"), outcome)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_thousand_misses_are_one_fill() {
    let (cache, fills, go) = (cache(), Arc::new(AtomicUsize::new(0)), Arc::new(Notify::new()));
    let lookups: Vec<_> = (0..1000)
        .map(|_| {
            let (cache, fills, go) = (cache.clone(), Arc::clone(&fills), Arc::clone(&go));
            tokio::spawn(async move {
                let filling = async move |room: Room| {
                    fills.fetch_add(1, Ordering::SeqCst);
                    let reservation = room.reserve(1000).await;
                    go.notified().await;
                    Ok(object(reservation.hold(Bytes::from(vec![7; 1000]))))
                };
                cache.get_or_fill(1, filling).await
            })
        })
        .collect();
    // The fill is let go on once all have asked.
    let metrics = &cache.shared.metrics;
    while metrics.misses.get() + metrics.collapsed.get() < 1000 {
        tokio::task::yield_now().await;
    }
    assert_eq!(metrics.held_bytes.get(), 1024);
    go.notify_one();
    let mut outcomes = Vec::new();
    for lookup in lookups {
        let (result, outcome) = lookup.await.expect("no panic");
        assert_eq!(result.expect("an object").bytes.len(), 1000);
        outcomes.push(outcome);
    }
    assert_eq!(fills.load(Ordering::SeqCst), 1);
    assert_eq!(outcomes.iter().filter(|outcome| **outcome == CacheOutcome::Miss).count(), 1);
    assert_eq!(cache.shared.metrics.held_bytes.get(), 1024, "the object is kept");
    assert_eq!(fill(&cache, 1, "another").await.1, CacheOutcome::Hit);
    cache.invalidate(&1);
    cache.maintain();
    assert_eq!(cache.shared.metrics.held_bytes.get(), 0);
}

#[tokio::test]
async fn a_fill_outlives_the_lookup_that_began_it() {
    let cache = cache();
    let (began, has_begun) = oneshot::channel();
    let (go, gone) = oneshot::channel::<()>();
    let first = {
        let cache = cache.clone();
        tokio::spawn(async move {
            let filling = async move |_| {
                began.send(()).expect("the test waits");
                gone.await.expect("the test lets go");
                Ok(object("first"))
            };
            let _ = cache.get_or_fill(1, filling).await;
        })
    };
    has_begun.await.expect("begun");
    first.abort();
    assert!(first.await.expect_err("aborted").is_cancelled());
    let second = tokio::spawn({
        let cache = cache.clone();
        async move { fill(&cache, 1, "second").await }
    });
    while cache.shared.metrics.collapsed.get() == 0 {
        tokio::task::yield_now().await;
    }
    go.send(()).expect("the fill still runs");
    assert_eq!(second.await.expect("no panic"), ("first".to_owned(), CacheOutcome::Collapsed));
}

#[tokio::test]
async fn capacity_is_kept_and_evictions_are_counted() {
    let cache = cache();
    for key in 0..100 {
        let (result, _) = cache.get_or_fill(key, async |_| Ok(object(vec![0; 50_000]))).await;
        assert!(result.is_ok());
        assert!(cache.weighed_bytes() <= CONFIG.objects_bytes(), "{}", cache.weighed_bytes());
    }
    assert!(cache.weighed_bytes() > CONFIG.bytes / 2);
    assert!(cache.shared.metrics.evictions.get() >= 80);
    assert_eq!(cache.shared.metrics.objects_bytes.get() as u64, cache.weighed_bytes());
    // What is larger than the cache is served all the same.
    let (huge, _) = cache.get_or_fill(1000, async |_| Ok(object(vec![0; 2 << 20]))).await;
    assert_eq!(huge.expect("an object").bytes.len(), 2 << 20);
    assert!(cache.peek(&1000).is_none());
}

#[tokio::test]
async fn errors_are_remembered_if_they_say_so() {
    let cache = cache();
    let (failed, _) = cache.get_or_fill(1, async |_| Err("bad luck".to_owned())).await;
    assert_eq!(failed.expect_err("an error"), FillError::Failed("bad luck".to_owned()));
    assert_eq!(fill(&cache, 1, "luck").await, ("luck".to_owned(), CacheOutcome::Miss));
    for expect in [CacheOutcome::Miss, CacheOutcome::Negative, CacheOutcome::Negative] {
        let (failed, outcome) = cache.get_or_fill(2, async |_| Err("no such thing".to_owned())).await;
        assert_eq!((failed.expect_err("an error"), outcome), (FillError::Failed("no such thing".to_owned()), expect));
    }
    cache.forget_absences(|key| *key == 2);
    assert_eq!(fill(&cache, 2, "made").await, ("made".to_owned(), CacheOutcome::Miss));
    // An invalidation while a fill finds nothing: what it found is not remembered.
    let (began, has_begun) = oneshot::channel();
    let (go, gone) = oneshot::channel::<()>();
    let early = tokio::spawn({
        let cache = cache.clone();
        async move {
            let filling = async move |_| {
                began.send(()).expect("the test waits");
                gone.await.expect("the test lets go");
                Err("no such thing".to_owned())
            };
            cache.get_or_fill(3, filling).await.0
        }
    });
    has_begun.await.expect("begun");
    cache.invalidate(&3);
    go.send(()).expect("still there");
    assert!(early.await.expect("no panic").is_err());
    assert_eq!(fill(&cache, 3, "new").await.1, CacheOutcome::Miss);
}

#[tokio::test]
async fn what_is_read_ahead_is_used_or_wasted() {
    let cache = cache();
    let metrics = cache.shared.metrics.clone();
    let ahead = async |key: u32| {
        let before = metrics.ahead.get();
        cache.fill_ahead(key, async |_| Ok(object(vec![1; 10_000])));
        while metrics.ahead.get() == before {
            tokio::task::yield_now().await;
        }
        // It has landed when it can be found.
        while !cache.shared.recent.contains(&key) {
            tokio::task::yield_now().await;
        }
    };
    ahead(1).await;
    assert!(cache.find(&1).is_some_and(|found| found.first_use));
    assert!(cache.find(&1).is_some_and(|found| !found.first_use));
    cache.fill_ahead(1, async |_| Err("never run: it is there".to_owned()));
    for key in 2..20 {
        ahead(key).await;
    }
    assert_eq!((metrics.ahead.get(), metrics.ahead_used.get()), (19, 1));
    let kept = CONFIG.recent_bytes() / 2 / (10_000 + ENTRY_BYTES);
    assert_eq!(metrics.ahead_wasted.get(), 18 - kept, "half of the share of the latest is for what is read ahead");
    // Whoever asks while it is being read waits for it, and has used it.
    let (go, gone) = oneshot::channel::<()>();
    cache.fill_ahead(50, async move |_| {
        gone.await.expect("the test lets go");
        Ok(object("ahead"))
    });
    let waiting = tokio::spawn({
        let cache = cache.clone();
        async move { fill(&cache, 50, "never").await }
    });
    while metrics.collapsed.get() == 0 {
        tokio::task::yield_now().await;
    }
    go.send(()).expect("still there");
    assert_eq!(waiting.await.expect("no panic"), ("ahead".to_owned(), CacheOutcome::Collapsed));
    assert_eq!(metrics.ahead_used.get(), 2);
    assert!(cache.find(&50).is_some_and(|found| !found.first_use));
}

#[tokio::test]
async fn a_fill_that_panics_is_lost_and_does_not_block_the_next() {
    let cache = cache();
    let (lost, _) = cache.get_or_fill(1, async |_| -> Result<Object, String> { panic!("on purpose") }).await;
    assert_eq!(lost.expect_err("an error"), FillError::Lost);
    assert_eq!(fill(&cache, 1, "next").await.0, "next");
}

#[tokio::test]
async fn fills_are_bounded_in_number() {
    let cache = cache();
    let mut fills = Vec::new();
    for key in 0..CONFIG.fills_max as u32 {
        let (began, has_begun) = oneshot::channel();
        let (go, gone) = oneshot::channel::<()>();
        let cache = cache.clone();
        fills.push((
            go,
            tokio::spawn(async move {
                let filling = async move |_| {
                    began.send(()).expect("the test waits");
                    gone.await.expect("the test lets go");
                    Ok(object("late"))
                };
                cache.get_or_fill(key, filling).await.0
            }),
        ));
        has_begun.await.expect("begun");
    }
    let (busy, _) = cache.get_or_fill(99, async |_| Ok(object("never"))).await;
    assert_eq!(busy.expect_err("refused"), FillError::Busy);
    for (go, lookup) in fills {
        go.send(()).expect("still there");
        assert!(lookup.await.expect("no panic").is_ok());
    }
    assert_eq!(fill(&cache, 99, "now").await.0, "now");
}

#[tokio::test]
async fn nothing_stale_after_an_invalidation() {
    let cache = cache();
    assert_eq!(fill(&cache, 1, "old").await.0, "old");
    cache.invalidate(&1);
    assert!(cache.peek(&1).is_none());

    // A fill that began before the invalidation lands for those who waited, and is not kept.
    let (began, has_begun) = oneshot::channel();
    let (go, gone) = oneshot::channel::<()>();
    let early = tokio::spawn({
        let cache = cache.clone();
        async move {
            let filling = async move |_| {
                began.send(()).expect("the test waits");
                gone.await.expect("the test lets go");
                Ok(object("old"))
            };
            cache.get_or_fill(1, filling).await.0.expect("an object").bytes.clone()
        }
    });
    has_begun.await.expect("begun");
    cache.invalidate(&1);
    assert_eq!(fill(&cache, 1, "new").await, ("new".to_owned(), CacheOutcome::Miss));
    go.send(()).expect("still there");
    assert_eq!(early.await.expect("no panic"), "old");
    assert_eq!(fill(&cache, 1, "newer").await, ("new".to_owned(), CacheOutcome::Hit));
}

#[tokio::test]
async fn a_family_of_keys_is_forgotten_together() {
    let cache = cache();
    for key in 0..10 {
        fill(&cache, key, "x").await;
    }
    cache.invalidate_if(|key| key % 2 == 0);
    for key in 0..10 {
        assert_eq!(cache.peek(&key).is_some(), key % 2 == 1, "{key}");
    }
    cache.maintain();
    assert_eq!(cache.shared.metrics.objects.get(), 5);
}
