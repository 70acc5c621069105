//! What any store must do: functions over an empty one, and the tests that run them on a file system.

use std::io::Read;
use std::path::Path;

use bytes::Bytes;
use tokio::task::JoinSet;

use super::tiny_disk::TinyDisk;
use super::{Error, Key, Listing, Store};
use crate::title::{ContentHash, TitleId};

fn id(age: u64) -> TitleId {
    TitleId::new(age, 7)
}

fn object(age: u64, bytes: &[u8]) -> Key {
    Key::Object(id(age), ContentHash::of(bytes))
}

async fn put(store: &Store, key: Key, bytes: &'static [u8]) {
    store.put(key, Bytes::from_static(bytes)).await.expect("stored");
}

async fn what_was_put_is_there(store: &Store) {
    let key = object(1, b"abc");
    assert!(matches!(store.get(key).await, Err(Error::NotFound)));
    assert!(matches!(store.size(key).await, Err(Error::NotFound)));
    assert!(matches!(store.open_file(key).await, Err(Error::NotFound)));
    assert!(!store.exists(key).await.expect("asked"));
    put(store, key, b"abc").await;
    put(store, key, b"abc").await;
    assert_eq!(store.get(key).await.expect("read"), "abc");
    assert_eq!(store.get_ranges(key, &[1..3, 0..1]).await.expect("read"), ["bc", "a"]);
    assert!(matches!(store.get_ranges(key, &[0..1, 3..4]).await, Err(Error::Unavailable(_))));
    assert_eq!(store.size(key).await.expect("a size"), 3);
    assert!(store.exists(key).await.expect("asked"));
    let mut text = String::new();
    store.open_file(key).await.expect("a file").read_to_string(&mut text).expect("read");
    assert_eq!(text, "abc");
    let empty = object(1, b"");
    put(store, empty, b"").await;
    assert_eq!(store.get(empty).await.expect("read"), "");
    assert!(store.free_bytes().await.expect("asked") > 0);
}

async fn titles_are_apart(store: &Store) {
    for (age, bytes) in [(2, b"two"), (1, b"one"), (1, b"uno")] {
        put(store, object(age, bytes), bytes).await;
    }
    put(store, Key::Source(id(1)), b"source").await;
    assert_eq!(store.titles().await.expect("asked").ids, [id(1), id(2)]);
    let mut expect = vec![(Key::Source(id(1)), 6), (object(1, b"one"), 3), (object(1, b"uno"), 3)];
    expect.sort_unstable();
    assert_eq!(store.list(id(1)).await.expect("listed").objects, expect);

    store.delete_title(id(1)).await.expect("deleted");
    store.delete_title(id(1)).await.expect("deleted already");
    assert_eq!(store.list(id(1)).await.expect("listed"), Listing::default());
    assert_eq!(store.titles().await.expect("asked").ids, [id(2)]);
    assert_eq!(store.get(object(2, b"two")).await.expect("read"), "two");
    put(store, object(1, b"one"), b"one").await;
    assert_eq!(store.get(object(1, b"one")).await.expect("read"), "one", "a title can come back");

    store.delete(object(2, b"two")).await.expect("deleted");
    store.delete(object(2, b"two")).await.expect("deleted already");
    store.delete(object(9, b"never")).await.expect("never there");
    assert!(!store.exists(object(2, b"two")).await.expect("asked"));
}

async fn many_puts_at_once(store: &Store) {
    let mut tasks = JoinSet::new();
    for number in 0..200_u64 {
        let store = store.clone();
        tasks.spawn(async move {
            // Every object is put by two, half of the titles at once.
            let bytes = Bytes::from(format!("object {}", number / 2));
            store.put(object(number % 4 / 2, &bytes), bytes.clone()).await.expect("stored");
        });
    }
    while let Some(done) = tasks.join_next().await {
        done.expect("no panic");
    }
    for age in [0, 1] {
        let listing = store.list(id(age)).await.expect("listed");
        assert_eq!((listing.objects.len(), listing.partial.len()), (50, 0));
        for (key, _) in listing.objects {
            let Key::Object(_, hash) = key else { panic!("no source was put") };
            assert_eq!(ContentHash::of(&store.get(key).await.expect("read")), hash);
        }
    }
}

macro_rules! on_files {
    ($($name:ident)*) => {
        mod on_files {
            use super::Store;
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $name() {
                    let directory = tempfile::tempdir().expect("a directory");
                    let store = Store::open(&directory.path().join("to be made")).await.expect("a store");
                    super::$name(&store).await;
                }
            )*
        }
    };
}

on_files! { what_was_put_is_there titles_are_apart many_puts_at_once }

#[tokio::test]
async fn a_file_is_taken_over_without_copying() {
    use std::os::unix::fs::MetadataExt;
    let directory = tempfile::tempdir().expect("a directory");
    let store = Store::open(directory.path()).await.expect("a store");
    let (spool, key) = (directory.path().join("spool"), Key::Source(id(1)));
    std::fs::create_dir(&spool).expect("a spool");
    let upload = spool.join("upload");
    std::fs::write(&upload, b"film").expect("written");
    let inode = std::fs::metadata(&upload).expect("its inode").ino();
    store.adopt(&upload, key).await.expect("adopted");
    assert!(!upload.exists());
    assert_eq!(store.open_file(key).await.expect("a file").metadata().expect("its inode").ino(), inode);
    assert_eq!(store.get(key).await.expect("read"), "film");
    assert!(matches!(store.adopt(&upload, key).await, Err(Error::NotFound)));
    assert_eq!(store.get(key).await.expect("still there"), "film");
}

#[tokio::test]
async fn strangers_and_partial_files_are_told_apart() {
    let directory = tempfile::tempdir().expect("a directory");
    let store = Store::open(directory.path()).await.expect("a store");
    let key = object(1, b"abc");
    put(&store, key, b"abc").await;
    let titles = directory.path().join("titles");
    let path = directory.path().join(key.to_string());
    let partial = path.with_file_name("0000#1");
    std::fs::write(&partial, b"ab").expect("written");
    std::fs::write(path.with_file_name("notes.txt"), b"").expect("written");
    std::os::unix::fs::symlink("/", titles.join(id(1).to_string()).join("source")).expect("linked");
    std::fs::write(titles.join(id(2).to_string()), b"a file").expect("written");
    std::fs::create_dir(titles.join("lost+found")).expect("made");

    let found = store.titles().await.expect("asked");
    assert_eq!(found.ids, [id(1)]);
    assert_eq!(found.strangers, [format!("titles/{}", id(2)).into(), Path::new("titles/lost+found").to_owned()]);
    let listing = store.list(id(1)).await.expect("listed");
    assert_eq!(listing.objects, [(key, 3)]);
    assert_eq!((listing.partial.len(), listing.strangers.len()), (1, 2));
    assert_eq!(store.sweep_partial(id(1)).await.expect("swept"), 1);
    assert!(!partial.exists());
    assert_eq!(store.sweep_partial(id(1)).await.expect("swept"), 0);
    assert_eq!(store.list(id(1)).await.expect("listed").objects, [(key, 3)]);
}

#[tokio::test]
async fn a_full_disk_is_told_by_name_and_leaves_nothing() {
    let Some(disk) = TinyDisk::mount("a_full_disk_is_told_by_name_and_leaves_nothing", 1) else { return };
    let store = Store::open(disk.path()).await.expect("a store");
    let small = object(1, b"small");
    put(&store, small, b"small").await;
    let large = Bytes::from(vec![1; 2 << 20]);
    let refused = store.put(object(1, &large), large.clone()).await;
    assert!(matches!(refused, Err(Error::Full(_))), "{refused:?}");
    assert!(store.free_bytes().await.expect("asked") > 900_000, "what was begun is gone");
    assert_eq!(store.list(id(1)).await.expect("listed"), Listing { objects: vec![(small, 5)], ..Listing::default() });
    assert_eq!(store.get(small).await.expect("read"), "small");
    let elsewhere = tempfile::NamedTempFile::new().expect("a file elsewhere");
    assert!(matches!(store.adopt(elsewhere.path(), Key::Source(id(1))).await, Err(Error::Unavailable(_))), "another file system");
}
