//! What every store must do. Each implementation runs it on empty stores.

use std::io::Write;

use super::{Confirmed, ErrorKind, Removal, Store};

/// `fresh` gives an empty store each time.
pub(crate) fn check<S: Store>(mut fresh: impl FnMut() -> S) {
    objects_read_back(&fresh());
    nothing_is_written_twice(&fresh());
    what_is_not_finished_is_not_there(&fresh());
    listing_is_sorted_and_by_folder(&fresh());
    paths_stay_inside(&fresh());
    orphans_go_or_are_kept(&fresh());
}

fn objects_read_back(store: &dyn Store) {
    let bytes: Vec<u8> = (0..100_000_u32).map(|n| (n % 251) as u8).collect();
    let mut upload = store.begin().unwrap();
    bytes.chunks(7_001).for_each(|chunk| upload.write_all(chunk).unwrap());
    upload.finish("a/b=c/object", None).unwrap();
    assert_eq!(store.read("a/b=c/object", 100_000).unwrap(), bytes);
    assert_eq!(store.read("a/b=c/object", 99_999).unwrap_err().kind, ErrorKind::TooLarge);
    assert_eq!(store.len("a/b=c/object").unwrap(), Some(100_000));
    let object = store.open("a/b=c/object").unwrap();
    assert_eq!(object.size(), 100_000);
    assert_eq!(object.read_at(99_000, 1_000).unwrap(), bytes[99_000..]);
    assert!(object.read_at(99_001, 1_000).is_err());
    assert!(object.read_at(u64::MAX, 2).is_err());
    store.create("empty", b"", None).unwrap();
    assert_eq!(store.read("empty", 0).unwrap(), b"");

    assert_eq!(store.len("missing").unwrap(), None);
    assert_eq!(store.read("missing", 9).unwrap_err().kind, ErrorKind::NotFound);
    assert_eq!(store.open("missing").err().unwrap().kind, ErrorKind::NotFound);
}

fn nothing_is_written_twice(store: &dyn Store) {
    store.create("commit/1", b"ours", None).unwrap();
    assert_eq!(store.create("commit/1", b"ours", None).unwrap_err().kind, ErrorKind::AlreadyExists);
    assert_eq!(store.create("commit/1", b"theirs", None).unwrap_err().kind, ErrorKind::AlreadyExists);
    assert_eq!(store.read("commit/1", 9).unwrap(), b"ours");
    assert_eq!(store.create_or_confirm("commit/1", b"ours", None).unwrap(), Confirmed::AlreadyOurs);
    assert_eq!(store.create_or_confirm("commit/1", b"othr", None).unwrap(), Confirmed::Different);
    assert_eq!(store.create_or_confirm("commit/1", b"longer", None).unwrap(), Confirmed::Different);
    assert_eq!(store.create_or_confirm("commit/2", b"ours", None).unwrap(), Confirmed::Created);
}

fn what_is_not_finished_is_not_there(store: &dyn Store) {
    let mut upload = store.begin().unwrap();
    upload.write_all(b"half").unwrap();
    assert_eq!(store.list("").unwrap(), [""; 0]);
    drop(upload);
    assert_eq!(store.list("").unwrap(), [""; 0]);
}

fn listing_is_sorted_and_by_folder(store: &dyn Store) {
    for path in ["b/2", "b/10", "a/x/y/z", "c"] {
        store.create(path, path.as_bytes(), None).unwrap();
    }
    assert_eq!(store.list("").unwrap(), ["a/x/y/z", "b/10", "b/2", "c"]);
    assert_eq!(store.list("b/").unwrap(), ["b/10", "b/2"]);
    assert_eq!(store.list("d/").unwrap(), [""; 0]);
}

fn paths_stay_inside(store: &dyn Store) {
    let long = "a".repeat(600);
    for path in ["", "/etc/x", "../x", "a/../x", "a//b", "a/", ".hidden", "a/.b", "a b", "a\\b", "ä", "a\0b", &long] {
        assert_eq!(store.create(path, b"x", None).unwrap_err().kind, ErrorKind::Path, "{path:?}");
        assert_eq!(store.read(path, 9).unwrap_err().kind, ErrorKind::Path, "{path:?}");
    }
    assert_eq!(store.list("").unwrap(), [""; 0]);
}

fn orphans_go_or_are_kept(store: &dyn Store) {
    store.create("leaves/orphan", b"x", None).unwrap();
    let removal = store.remove_orphan("leaves/orphan").unwrap();
    assert_eq!(store.len("leaves/orphan").unwrap().is_none(), removal == Removal::Removed);
}
