//! The cache under pressure: churn of keys, slow readers, floods of what is not there, and scans.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use http::HeaderValue;

use super::*;
use crate::title::ContentHash;

type Numbers = Cache<u32, String>;

/// Counts the bytes of bodies that are alive, and how many there were at most.
#[derive(Default)]
struct Alive {
    bytes: AtomicU64,
    peak_bytes: AtomicU64,
}

/// A body that is counted for as long as anyone has a slice of it.
struct Counted {
    bytes: Vec<u8>,
    alive: Arc<Alive>,
}

impl Counted {
    fn body(length: usize, alive: &Arc<Alive>) -> Bytes {
        let now = alive.bytes.fetch_add(length as u64, Ordering::SeqCst) + length as u64;
        alive.peak_bytes.fetch_max(now, Ordering::SeqCst);
        Bytes::from_owner(Self { bytes: vec![1; length], alive: Arc::clone(alive) })
    }
}

impl AsRef<[u8]> for Counted {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.alive.bytes.fetch_sub(self.bytes.len() as u64, Ordering::SeqCst);
    }
}

fn object(bytes: Bytes) -> Object {
    let value = HeaderValue::from_static("x");
    Object::new(bytes, ContentHash([0; 32]), 0, value.clone(), value, true)
}

/// The same numbers in every run.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }
}

/// As long as that is room waited for; what finds none is streamed by those who can.
const ROOM_WAIT: Duration = Duration::from_millis(200);

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn memory_stays_within_the_budget_whatever_keys_come_and_whoever_holds_on() {
    let config = Config { bytes: 32 << 20, fills_max: 64, read_ahead: 0 };
    // Without an arena, into which bodies would be copied, for the bodies themselves are counted.
    let (cache, alive) = (Numbers::within(&config, None, Metrics::default()), Arc::new(Alive::default()));
    let readers: Vec<_> = (0..8_u64)
        .map(|reader| {
            let (cache, alive) = (cache.clone(), Arc::clone(&alive));
            tokio::spawn(async move {
                let mut dice = Dice(reader);
                // What a slow client still holds of bodies that may be dropped meanwhile.
                let mut held: Vec<Bytes> = Vec::new();
                let mut refused = 0;
                for _ in 0..400 {
                    let key = dice.below(100_000) as u32;
                    let length = 1000 + dice.below(400_000) as usize;
                    if cache.find(&key).is_some() {
                        continue;
                    }
                    let alive = Arc::clone(&alive);
                    let filling = async move |room: Room| {
                        let reserving = room.reserve(length as u64 + OBJECT_BYTES);
                        let reservation = tokio::time::timeout(ROOM_WAIT, reserving).await.map_err(|_| "full".to_owned())?;
                        Ok(object(reservation.hold(Counted::body(length, &alive))))
                    };
                    let (result, _) = cache.get_or_fill(key, filling).await;
                    match result {
                        Ok(object) => held.push(object.bytes.slice(..10)),
                        Err(_) => refused += 1,
                    }
                    if held.len() > 1 {
                        held.remove(0);
                    }
                }
                refused
            })
        })
        .collect();
    let mut refused = 0;
    for reader in readers {
        refused += reader.await.expect("no panic");
    }
    assert!(refused <= 32, "{refused} fills found no room, though slow clients hold little");
    let peak = alive.peak_bytes.load(Ordering::SeqCst);
    assert!(peak <= config.bytes, "{peak} bytes of bodies at once");
    assert!(peak > config.bytes / 2, "{peak}: the budget is used");
    cache.maintain();
    assert!(cache.weighed_bytes() > config.objects_bytes() / 2, "{}", cache.weighed_bytes());
    let (metrics, alive) = (&cache.shared.metrics, alive.bytes.load(Ordering::SeqCst));
    assert!(metrics.held_bytes.get() as u64 >= alive, "whatever lives is paid for");
    assert!(metrics.evictions.get() > 1000, "{} left", metrics.evictions.get());
}

#[tokio::test]
async fn a_flood_of_what_is_not_there_is_bounded() {
    let config = Config { bytes: 1 << 20, fills_max: 64, read_ahead: 0 };
    let (cache, most) = (Numbers::new(&config, Metrics::default()), config.negatives_max());
    for key in 0..20_000_u32 {
        let (result, _) = cache.get_or_fill(key, async |_| Err("no such thing".to_owned())).await;
        assert!(result.is_err());
        if key % 1000 == 0 {
            cache.maintain();
            assert!(cache.shared.negatives.entry_count() <= most, "{} remembered", cache.shared.negatives.entry_count());
        }
    }
    // The latest are those that are remembered.
    let (_, outcome) = cache.get_or_fill(19_999, async |_| Ok(object(Bytes::new()))).await;
    assert_eq!(outcome, CacheOutcome::Negative);
    assert_eq!((cache.weighed_bytes(), cache.shared.metrics.held_bytes.get()), (0, 0));
}

/// The least recently used go, for comparison.
#[derive(Default)]
struct Lru {
    places: HashMap<u32, (u64, u64)>,
    order: BTreeMap<u64, u32>,
    bytes: u64,
    clock: u64,
}

impl Lru {
    /// Whether it was there; it is now.
    fn ask(&mut self, key: u32, weight: u64, bytes_max: u64) -> bool {
        self.clock += 1;
        let before = self.places.insert(key, (self.clock, weight));
        match before {
            Some((place, _)) => drop(self.order.remove(&place)),
            None => self.bytes += weight,
        }
        self.order.insert(self.clock, key);
        while self.bytes > bytes_max
            && let Some((_, oldest)) = self.order.pop_first()
        {
            self.bytes -= self.places.remove(&oldest).map_or(0, |(_, weight)| weight);
        }
        before.is_some()
    }
}

/// One body for all: only its length counts here.
static BODY: [u8; 1 << 20] = [0; 1 << 20];

struct Trial {
    cache: Numbers,
    lru: Lru,
    config: Config,
    kind: Kind,
}

/// The key of an object by its number, and its length.
type Kind = fn(u32) -> (u32, usize);

impl Trial {
    /// Whether the cache had it, and whether one that drops the least recently used would have.
    async fn ask(&mut self, number: u32) -> (bool, bool) {
        let (key, length) = (self.kind)(number);
        let lru = self.lru.ask(key, length as u64 + ENTRY_BYTES, self.config.objects_bytes());
        if self.cache.find(&key).is_some() {
            return (true, lru);
        }
        let (result, _) = self.cache.get_or_fill(key, async move |_| Ok(object(Bytes::from_static(&BODY[..length])))).await;
        assert!(result.is_ok());
        (false, lru)
    }
}

/// Hit ratios in percent of a hot set, alone and during a scan of ten times the budget: of the cache, and of one that drops the
/// least recently used.
async fn scan(kind: Kind, scans_per_hit: u64) -> [(f64, f64); 2] {
    const FIRST_OF_SCAN: u32 = 1 << 20;
    let config = Config { bytes: 64 << 20, fills_max: 64, read_ahead: 0 };
    let mut trial = Trial { cache: Numbers::new(&config, Metrics::default()), lru: Lru::default(), config, kind };
    let (mut hot, mut hot_bytes) = (0, 0);
    while hot_bytes < config.objects_bytes() * 6 / 10 {
        hot_bytes += kind(hot).1 as u64 + ENTRY_BYTES;
        hot += 1;
    }
    let mut dice = Dice(7);
    // As viewers are: most of them at few objects.
    let mut pick = |hot: u32| dice.below(u64::from(hot)).min(dice.below(u64::from(hot))) as u32;
    for _ in 0..hot * 20 {
        trial.ask(pick(hot)).await;
    }
    let mut ratios = [(0.0, 0.0); 2];
    for (phase, ratio) in ratios.iter_mut().enumerate() {
        let (mut asked, mut hits, mut lru_hits) = (0_u32, 0_u32, 0_u32);
        let (mut next, mut scanned_bytes) = (FIRST_OF_SCAN, 0);
        while scanned_bytes < 10 * config.bytes {
            let (hit, lru) = trial.ask(pick(hot)).await;
            asked += 1;
            hits += u32::from(hit);
            lru_hits += u32::from(lru);
            for _ in 0..scans_per_hit {
                scanned_bytes += kind(next).1 as u64;
                if phase == 1 {
                    trial.ask(next).await;
                }
                next += 1;
            }
        }
        let percent = |count: u32| f64::from(count) * 100.0 / f64::from(asked);
        *ratio = (percent(hits), percent(lru_hits));
    }
    ratios
}

#[tokio::test]
async fn a_scan_does_not_drive_out_what_is_asked_for_often() {
    const DOCUMENT: u32 = 1 << 31;
    let trials: [(&str, Kind, u64); 3] = [
        ("segments alike", |key| (key, 300_000), 3),
        ("segments of all rungs", |key| (key, [80_000, 200_000, 400_000, 1_000_000][key as usize % 4]), 3),
        ("playlists among segments", |key| if key % 4 == 0 { (key, 300_000) } else { (key | DOCUMENT, 2_000 + key as usize % 3000) }, 3),
    ];
    for (name, kind, scans_per_hit) in trials {
        let [(alone, _), (scanned, lru)] = scan(kind, scans_per_hit).await;
        assert!(alone - scanned <= 5.0, "{name}: {alone:.1} % alone, {scanned:.1} % during the scan");
        assert!(scanned > lru + 5.0, "{name}: {scanned:.1} %, and {lru:.1} % if the least recently used went");
    }
}
