//! Proves the invariants of durable state: what the catalogue names is in the store, whole and unchanged, and what is in the
//! store belongs to something.
//!
//! It only reads, and may run beside a server at work: a title that changes while it is looked at is not held against it.
//! Memory is bounded by the ledger of the longest title, four objects and the violations listed.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read};

use sha2::{Digest, Sha256};
use tokio::task::JoinSet;

use super::expected::{Expected, expected};
pub use super::violation::{Leftover, Part, Violation};
use crate::catalogue::{self, Catalogue, TitleRecord};
use crate::store::{self, Key, Listing, Store};
use crate::title::{ContentHash, TitleId, TitleState};

/// Violations listed at most, and contradictions of each kind; beyond, they are only counted.
const LISTED_MAX: u32 = 10_000;
/// Objects read at the same time.
const READS_MAX: usize = 4;
/// Bytes of a source that are hashed between two reports of progress.
const HASH_STEP_BYTES: u64 = 64 << 20;

/// What to look at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CheckOptions {
    /// Read every source from start to end, too; otherwise only its length is compared.
    pub hash_sources: bool,
}

/// How far a check has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CheckProgress {
    /// Titles looked at.
    pub titles_done: u64,
    /// Titles in the catalogue when it began.
    pub titles_total: u64,
    /// Objects and sources compared.
    pub parts: u64,
    /// Bytes read and hashed.
    pub bytes: u64,
}

/// What a check found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Findings {
    /// Broken invariants; none is as it should be.
    pub violations: Vec<Violation>,
    /// Violations beyond those listed.
    pub unlisted: u64,
    /// Files that wait for their title to go on or go away.
    pub leftovers: Vec<Leftover>,
    /// What was looked at.
    pub progress: CheckProgress,
}

/// Why a check could not be made.
#[derive(Debug, thiserror::Error)]
pub enum CheckError {
    /// The store cannot be read.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// The catalogue cannot be read.
    #[error(transparent)]
    Catalogue(#[from] catalogue::Error),
}

/// Checks all that is in `store` and `catalogue` against each other; `report` is told now and then how far it is.
///
/// # Errors
/// [`CheckError`] when either cannot be read. What was found up to then is lost.
pub async fn check(
    store: &Store,
    catalogue: &Catalogue,
    options: CheckOptions,
    report: &mut (dyn FnMut(CheckProgress) + Send),
) -> Result<Findings, CheckError> {
    let mut check = Check { store, catalogue, options, report, findings: Findings::default() };
    for contradiction in catalogue.contradictions(LISTED_MAX).await? {
        check.violated(Violation::Contradiction(contradiction));
    }
    let titles = catalogue.known_ids().await?;
    check.findings.progress.titles_total = titles.len() as u64;
    for id in titles {
        match check.title(id).await {
            Err(CheckError::Catalogue(catalogue::Error::Corrupt(why))) => check.violated(Violation::Unreadable { title: id, why }),
            other => other?,
        }
        check.findings.progress.titles_done += 1;
        check.tell();
    }
    check.strangers().await?;
    Ok(check.findings)
}

struct Check<'a> {
    store: &'a Store,
    catalogue: &'a Catalogue,
    options: CheckOptions,
    report: &'a mut (dyn FnMut(CheckProgress) + Send),
    findings: Findings,
}

impl Check<'_> {
    async fn title(&mut self, id: TitleId) -> Result<(), CheckError> {
        let title = match self.catalogue.title(id).await {
            Err(catalogue::Error::NotFound(_)) => return Ok(()),
            other => other?,
        };
        // The rows first: an object that comes later is at most one without a row.
        let expected = match expected(self.catalogue, &title).await {
            Err(catalogue::Error::NotFound(_)) => return Ok(()),
            other => other?,
        };
        let listing = self.store.list(id).await?;
        // After the listing: a document is announced before it is put.
        let loose = self.catalogue.loose_documents_of(id).await?;
        let found = self.compare(&title, &expected, &listing).await?;
        let now = match self.catalogue.title(id).await {
            Ok(now) => Some(now.state),
            Err(catalogue::Error::NotFound(_)) => None,
            Err(error) => return Err(error.into()),
        };
        // Deleted or failed meanwhile, so its parts were going away.
        if now.is_none() || (now != Some(title.state) && now == Some(TitleState::Failed)) {
            return Ok(());
        }
        found.into_iter().for_each(|violation| self.violated(violation));
        self.without_row(&title, &expected, &loose, listing);
        Ok(())
    }

    async fn compare(&mut self, title: &TitleRecord, expected: &[Expected], listing: &Listing) -> Result<Vec<Violation>, CheckError> {
        let id = title.id;
        let lengths: HashMap<Key, u64> = listing.objects.iter().copied().collect();
        let mut violations = Vec::new();
        let mut whole = Vec::new();
        for one in expected {
            match lengths.get(&one.key) {
                None => violations.push(Violation::Missing { title: id, part: one.part }),
                Some(&found_bytes) if found_bytes != one.bytes => {
                    violations.push(Violation::WrongLength { title: id, part: one.part, recorded_bytes: one.bytes, found_bytes });
                }
                Some(_) if one.part != Part::Source => whole.push(*one),
                Some(_) => {
                    if self.options.hash_sources && self.source_hash(one.key).await? != Some(one.hash) {
                        violations.push(Violation::WrongHash { title: id, part: one.part });
                    }
                    self.findings.progress.parts += 1;
                }
            }
        }
        let mut reads = JoinSet::new();
        let mut whole = whole.into_iter();
        loop {
            while reads.len() < READS_MAX
                && let Some(one) = whole.next()
            {
                let store = self.store.clone();
                reads.spawn(async move { (one, object_hash(&store, one.key).await) });
            }
            let Some(read) = reads.join_next().await else { break };
            let (one, hash) = read.map_err(store::Error::from)?;
            match hash? {
                None => violations.push(Violation::Missing { title: id, part: one.part }),
                Some(hash) if hash != one.hash => violations.push(Violation::WrongHash { title: id, part: one.part }),
                Some(_) => {}
            }
            self.findings.progress.parts += 1;
            self.findings.progress.bytes += one.bytes;
            self.tell();
        }
        Ok(violations)
    }

    /// The hash of a source, read in steps; absent when it is gone.
    async fn source_hash(&mut self, key: Key) -> Result<Option<ContentHash>, CheckError> {
        let mut file = match self.store.open_file(key).await {
            Err(store::Error::NotFound) => return Ok(None),
            other => other?,
        };
        let mut hash = Sha256::new();
        loop {
            let step = tokio::task::spawn_blocking(move || {
                let read = hash_step(&mut file, &mut hash)?;
                Ok::<_, io::Error>((file, hash, read))
            });
            let read;
            (file, hash, read) = step.await.map_err(store::Error::from)?.map_err(store::Error::from)?;
            if read == 0 {
                return Ok(Some(ContentHash(hash.finalize().into())));
            }
            self.findings.progress.bytes += read;
            self.tell();
        }
    }

    /// Files of a known title that no row names.
    fn without_row(&mut self, title: &TitleRecord, expected: &[Expected], loose: &[ContentHash], listing: Listing) {
        let named: std::collections::HashSet<Key> = expected.iter().map(|one| one.key).collect();
        let unnamed: Vec<Key> = listing.objects.iter().map(|(key, _)| *key).filter(|key| !named.contains(key)).collect();
        let is_loose = |key: &Key| matches!(key, Key::Object(_, hash) if loose.contains(hash));
        let (waiting, unnamed): (Vec<Key>, Vec<Key>) = unnamed.into_iter().partition(is_loose);
        let mut files = (listing.partial.len() + waiting.len()) as u64;
        if title.state == TitleState::Ready {
            unnamed.into_iter().for_each(|key| self.violated(Violation::Unnamed { title: title.id, key }));
        } else {
            files += unnamed.len() as u64;
        }
        if files > 0 {
            self.findings.leftovers.push(Leftover { title: title.id, state: Some(title.state), files });
        }
        listing.strangers.into_iter().for_each(|path| self.violated(Violation::Stranger(path)));
    }

    /// What is in the store for titles that the catalogue does not know, or for none.
    async fn strangers(&mut self) -> Result<(), CheckError> {
        let titles = self.store.titles().await?;
        titles.strangers.into_iter().for_each(|path| self.violated(Violation::Stranger(path)));
        for id in titles.ids {
            if is_known(self.catalogue, id).await? {
                continue;
            }
            let listing = self.store.list(id).await?;
            let files = (listing.objects.len() + listing.partial.len() + listing.strangers.len()) as u64;
            // Asked in this order, since a title is put on the garbage list when it leaves the catalogue.
            let (garbage, known) = (self.catalogue.garbage().await?.contains(&id), is_known(self.catalogue, id).await?);
            if files == 0 || known {
                continue;
            }
            if garbage {
                self.findings.leftovers.push(Leftover { title: id, state: None, files });
            } else {
                self.violated(Violation::Ownerless { title: id, files });
            }
        }
        Ok(())
    }

    fn violated(&mut self, violation: Violation) {
        if self.findings.violations.len() < LISTED_MAX as usize {
            self.findings.violations.push(violation);
        } else {
            self.findings.unlisted += 1;
        }
    }

    fn tell(&mut self) {
        (self.report)(self.findings.progress);
    }
}

/// Whether the catalogue has a record of the title.
async fn is_known(catalogue: &Catalogue, id: TitleId) -> Result<bool, CheckError> {
    match catalogue.title(id).await {
        // A record that cannot be read was reported; it is one.
        Ok(_) | Err(catalogue::Error::Corrupt(_)) => Ok(true),
        Err(catalogue::Error::NotFound(_)) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// The hash of an object that fits into memory; absent when it is gone.
async fn object_hash(store: &Store, key: Key) -> Result<Option<ContentHash>, CheckError> {
    let bytes = match store.get(key).await {
        Err(store::Error::NotFound) => return Ok(None),
        other => other?,
    };
    let hash = tokio::task::spawn_blocking(move || ContentHash::of(&bytes)).await;
    Ok(Some(hash.map_err(store::Error::from)?))
}

/// Hashes the next bytes of a file and tells how many; 0 at its end.
fn hash_step(file: &mut File, hash: &mut Sha256) -> io::Result<u64> {
    let mut buffer = vec![0; 256 << 10];
    let mut done = 0;
    while done < HASH_STEP_BYTES {
        let read = match file.read(&mut buffer) {
            Ok(0) => break,
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        hash.update(&buffer[..read]);
        done += read as u64;
    }
    Ok(done)
}

#[cfg(test)]
mod tests {
    use std::path::{Path, PathBuf};

    use bytes::Bytes;

    use super::*;
    use crate::catalogue::sample::{
        facts, init_bytes, plan, rates, segment, segment_bytes, segments, still_bytes, stills, title_id, tracks,
    };
    use crate::catalogue::{Contradiction, SourceRecord};
    use crate::title::sample::text_track;
    use crate::title::{Generation, Problem, ProblemCode, SegmentNumber, Still, TextKind, TrackId};

    const FIRST: Generation = Generation::FIRST;
    const SOURCES: CheckOptions = CheckOptions { hash_sources: true };

    struct Fixture {
        directory: tempfile::TempDir,
        store: Store,
        catalogue: Catalogue,
    }

    impl Fixture {
        async fn new() -> Self {
            let directory = tempfile::tempdir().expect("a directory");
            let store = Store::open(directory.path()).await.expect("a store");
            let catalogue = Catalogue::open(&directory.path().join("catalogue.sqlite")).await.expect("a catalogue");
            Self { directory, store, catalogue }
        }

        async fn put(&self, key: Key, bytes: Bytes) {
            self.store.put(key, bytes).await.expect("stored");
        }

        async fn surveying(&self, id: TitleId) {
            self.catalogue.create_title(id, "film", 1).await.expect("created");
            self.put(Key::Source(id), Bytes::from_static(b"source")).await;
            let source = SourceRecord { bytes: 6, sha256: ContentHash::of(b"source") };
            self.catalogue.source_received(id, source, 2).await.expect("received");
        }

        async fn processing(&self, id: TitleId) {
            self.surveying(id).await;
            for track in tracks() {
                self.put(Key::Object(id, track.init_hash), init_bytes(track.track)).await;
            }
            self.catalogue.planned(id, &facts(), &plan(), &tracks(), &[], 3).await.expect("planned");
        }

        async fn ready(&self, id: TitleId) {
            self.processing(id).await;
            for row in segments() {
                self.put(Key::Object(id, row.hash), segment_bytes(row.track, row.number.0)).await;
            }
            self.catalogue.commit_segments(id, FIRST, &segments(), 4).await.expect("committed");
            for row in stills() {
                self.put(Key::Object(id, row.hash), still_bytes(row.still)).await;
            }
            self.catalogue.keep_stills(id, FIRST, &stills(), &[], 4).await.expect("kept");
            self.catalogue.finish(id, FIRST, &rates(), &[], 5).await.expect("finished");
        }

        fn path(&self, key: Key) -> PathBuf {
            self.directory.path().join(key.to_string())
        }

        async fn check(&self, options: CheckOptions) -> Findings {
            let (store, catalogue) = (self.store.clone(), self.catalogue.clone());
            // As a server would: in a task of its own.
            let checking = tokio::spawn(async move { check(&store, &catalogue, options, &mut |_| {}).await });
            checking.await.expect("no panic").expect("checked")
        }
    }

    #[tokio::test]
    async fn all_that_is_well_is_found_well() {
        let fixture = Fixture::new().await;
        fixture.ready(title_id(1)).await;
        fixture.processing(title_id(2)).await;
        fixture.surveying(title_id(3)).await;
        fixture.catalogue.create_title(title_id(4), "film", 1).await.expect("created");
        let mut last = CheckProgress::default();
        let findings = check(&fixture.store, &fixture.catalogue, SOURCES, &mut |progress| last = progress).await.expect("checked");
        assert_eq!((findings.violations, findings.leftovers), (vec![], vec![]));
        assert_eq!((last.titles_done, last.titles_total), (4, 4));
        assert_eq!(last.parts, 3 + 2 * 3 + 9 + 3, "sources, init segments, segments, stills");
        assert_eq!(last, findings.progress);
    }

    #[tokio::test]
    async fn every_kind_of_damage_is_named() {
        let fixture = Fixture::new().await;
        let id = title_id(1);
        fixture.ready(id).await;
        let (missing, changed, longer) = (segment(TrackId::video(0), 1), segment(TrackId::audio(0), 2), segment(TrackId::video(1), 0));
        let path = |row: &catalogue::SegmentRecord| fixture.path(Key::Object(id, row.hash));
        std::fs::remove_file(path(&missing)).expect("removed");
        std::fs::write(path(&changed), segment_bytes(TrackId::audio(0), 1)).expect("written");
        std::fs::write(path(&longer), b"something longer than it was").expect("written");
        std::fs::write(fixture.path(Key::Object(id, tracks()[2].init_hash)), vec![0; init_bytes(TrackId::audio(0)).len()])
            .expect("written");
        std::fs::write(fixture.path(Key::Source(id)), b"SOURCE").expect("written");
        std::fs::remove_file(fixture.path(Key::Object(id, stills()[1].hash))).expect("removed");
        let unnamed = Key::Object(id, ContentHash::of(b"unnamed"));
        fixture.put(unnamed, Bytes::from_static(b"unnamed")).await;
        fixture.put(Key::Source(title_id(9)), Bytes::from_static(b"whose?")).await;
        std::fs::write(fixture.directory.path().join("titles/README"), b"").expect("written");

        let mut found = fixture.check(SOURCES).await.violations;
        let expect = [
            Violation::Missing { title: id, part: Part::Segment(TrackId::video(0), SegmentNumber(1)) },
            Violation::WrongHash { title: id, part: Part::Segment(TrackId::audio(0), SegmentNumber(2)) },
            Violation::WrongLength {
                title: id,
                part: Part::Segment(TrackId::video(1), SegmentNumber(0)),
                recorded_bytes: longer.bytes,
                found_bytes: 28,
            },
            Violation::WrongHash { title: id, part: Part::Init(TrackId::audio(0)) },
            Violation::WrongHash { title: id, part: Part::Source },
            Violation::Missing { title: id, part: Part::Still(Still::Sprite(0)) },
            Violation::Unnamed { title: id, key: unnamed },
            Violation::Ownerless { title: title_id(9), files: 1 },
            Violation::Stranger(Path::new("titles/README").to_owned()),
        ];
        for violation in &expect {
            let place = found.iter().position(|found| found == violation);
            found.remove(place.unwrap_or_else(|| panic!("not found: {violation}")));
        }
        assert_eq!(found, []);
        assert_eq!(expect[0].to_string(), format!("Title {id}: segment 1 of track v0 is not in the store."));
        let quick = fixture.check(CheckOptions::default()).await.violations;
        assert!(!quick.contains(&Violation::WrongHash { title: id, part: Part::Source }), "only its length is compared");
        std::fs::remove_file(fixture.path(Key::Source(id))).expect("removed");
        let quick = fixture.check(CheckOptions::default()).await.violations;
        assert!(quick.contains(&Violation::Missing { title: id, part: Part::Source }));
    }

    #[tokio::test]
    async fn what_a_killed_task_left_is_no_violation() {
        let fixture = Fixture::new().await;
        let [receiving, surveying, processing, failed, deleted] = [1, 2, 3, 4, 5].map(title_id);
        fixture.catalogue.create_title(receiving, "film", 1).await.expect("created");
        fixture.put(Key::Source(receiving), Bytes::from_static(b"source")).await;
        fixture.surveying(surveying).await;
        fixture.put(Key::Object(surveying, tracks()[0].init_hash), init_bytes(TrackId::video(0))).await;
        fixture.processing(processing).await;
        let row = segment(TrackId::video(0), 0);
        fixture.put(Key::Object(processing, row.hash), segment_bytes(row.track, 0)).await;
        std::fs::write(fixture.path(Key::Object(processing, row.hash)).with_file_name("0000#1"), b"half").expect("written");
        fixture.processing(failed).await;
        fixture.catalogue.fail(failed, &Problem::new(ProblemCode::Corrupt), 9).await.expect("failed");
        fixture.ready(deleted).await;
        fixture.catalogue.mark_deleted(deleted, 9).await.expect("deleted");

        let findings = fixture.check(SOURCES).await;
        assert_eq!(findings.violations, []);
        let leftovers: Vec<_> = findings.leftovers.iter().map(|left| (left.title, left.state, left.files)).collect();
        let expect = [
            (receiving, Some(TitleState::Receiving), 1),
            (surveying, Some(TitleState::Surveying), 1),
            (processing, Some(TitleState::Processing), 2),
            (failed, Some(TitleState::Failed), 4),
            (deleted, None, 16),
        ];
        assert_eq!(leftovers, expect);

        fixture.store.delete_title(deleted).await.expect("removed");
        fixture.catalogue.drop_garbage(deleted).await.expect("dropped");
        assert!(fixture.check(SOURCES).await.leftovers.iter().all(|left| left.title != deleted));
    }

    #[tokio::test]
    async fn documents_are_looked_at_and_loose_ones_wait() {
        let fixture = Fixture::new().await;
        let id = title_id(1);
        fixture.ready(id).await;
        let tracks = [("one", 2), ("two", 3)].map(|(name, generation)| text_track(name, Some("en"), TextKind::Subtitles, (generation, 0)));
        for (track, from) in tracks.iter().zip([1, 2]) {
            let text = track.name.clone();
            fixture.put(Key::Object(id, track.document), Bytes::from(text)).await;
            fixture.catalogue.retext(id, Generation(from), std::slice::from_ref(track), 6).await.expect("changed");
        }
        let loose = ContentHash::of(b"loose");
        fixture.catalogue.document_coming(id, loose).await.expect("noted");
        fixture.put(Key::Object(id, loose), Bytes::from_static(b"loose")).await;
        let findings = fixture.check(SOURCES).await;
        assert_eq!(findings.violations, []);
        assert_eq!(findings.leftovers.iter().map(|left| left.files).collect::<Vec<_>>(), [1]);

        fixture.catalogue.document_gone(id, loose).await.expect("taken off");
        std::fs::remove_file(fixture.path(Key::Object(id, tracks[0].document))).expect("removed");
        std::fs::write(fixture.path(Key::Object(id, tracks[1].document)), "TWO").expect("written");
        let found = fixture.check(SOURCES).await.violations;
        for violation in [
            Violation::Missing { title: id, part: Part::Document(tracks[0].document) },
            Violation::WrongHash { title: id, part: Part::Document(tracks[1].document) },
            Violation::Unnamed { title: id, key: Key::Object(id, loose) },
        ] {
            assert!(found.contains(&violation), "{violation} not in {found:?}");
        }
    }

    #[tokio::test]
    async fn the_catalogues_own_contradictions_are_told() {
        let fixture = Fixture::new().await;
        let id = title_id(1);
        fixture.ready(id).await;
        fixture.catalogue.close().await;
        let path = fixture.directory.path().join("catalogue.sqlite");
        let pool = sqlx::SqlitePool::connect_with(sqlx::sqlite::SqliteConnectOptions::new().filename(&path)).await.expect("opened");
        sqlx::query("DELETE FROM segments WHERE track = 'a0' AND number = 1").execute(&pool).await.expect("damaged");
        sqlx::query("UPDATE plans SET facts = '{'").execute(&pool).await.expect("damaged");
        pool.close().await;
        let catalogue = Catalogue::open(&path).await.expect("the catalogue again");
        let findings = check(&fixture.store, &catalogue, SOURCES, &mut |_| {}).await.expect("checked");
        let incomplete = Contradiction::Incomplete { title: id, track: TrackId::audio(0), rows: 2, planned: 3 };
        assert!(findings.violations.contains(&Violation::Contradiction(incomplete)));
        let unreadable = |violation: &Violation| matches!(violation, Violation::Unreadable { title, .. } if *title == id);
        assert!(findings.violations.iter().any(unreadable), "{:?}", findings.violations);
    }
}
