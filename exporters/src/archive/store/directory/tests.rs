use super::*;
use crate::archive::store::conformance;

fn writer(root: &Path) -> Result<DirectoryStore, StoreError> {
    DirectoryStore::writer(root, DirectorySettings::default())
}

#[test]
fn a_directory_is_a_store() {
    let directory = tempfile::tempdir().unwrap();
    let mut number = 0;
    conformance::check(|| {
        number += 1;
        writer(&directory.path().join(format!("deep/{number}"))).unwrap()
    });
}

#[test]
fn objects_are_read_only() {
    let directory = tempfile::tempdir().unwrap();
    writer(directory.path()).unwrap().create("a/b", b"x", None).unwrap();
    let mode = |path: &str| fs::metadata(directory.path().join(path)).unwrap().permissions().mode() & 0o7777;
    assert_eq!((mode("a/b"), mode("a")), (0o444, 0o755));
}

#[test]
fn a_second_writer_is_refused_and_readers_are_not() {
    let directory = tempfile::tempdir().unwrap();
    let first = writer(directory.path()).unwrap();
    let error = writer(directory.path()).err().unwrap();
    assert_eq!(error.kind, ErrorKind::Locked);
    assert!(error.to_string().contains("another process"), "{error}");
    let reader = DirectoryStore::reader(directory.path()).unwrap();
    assert_eq!(reader.create("a", b"x", None).unwrap_err().kind, ErrorKind::Denied);
    // An upload keeps the lock even when the store is gone.
    let upload = first.begin().unwrap();
    drop(first);
    assert_eq!(writer(directory.path()).err().unwrap().kind, ErrorKind::Locked);
    drop(upload);
    writer(directory.path()).unwrap();
}

#[test]
fn what_a_crash_left_is_removed() {
    let directory = tempfile::tempdir().unwrap();
    drop(writer(directory.path()).unwrap());
    let left = directory.path().join(INCOMING).join("0");
    fs::write(&left, b"half").unwrap();
    let store = writer(directory.path()).unwrap();
    assert!(!left.exists());
    store.create("a", b"x", None).unwrap();
    assert_eq!(fs::read_dir(directory.path().join(INCOMING)).unwrap().count(), 0);
}

#[test]
fn a_file_where_a_directory_should_be_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("file");
    fs::write(&file, b"x").unwrap();
    for error in
        [writer(&file), writer(&file.join("below")), DirectoryStore::reader(&file)].map(|store| store.err().unwrap())
    {
        assert_eq!(error.kind, ErrorKind::Misplaced, "{error}");
        assert!(error.to_string().contains("file"), "{error}");
    }
    let root = directory.path().join("root");
    let store = writer(&root).unwrap();
    fs::write(root.join("commit"), b"x").unwrap();
    let error = store.create("commit/1", b"x", None).unwrap_err();
    assert_eq!(error.kind, ErrorKind::Misplaced, "{error}");
    assert!(error.place.ends_with("root/commit"), "{error}");
}

#[test]
fn links_out_of_the_archive_are_not_followed() {
    let directory = tempfile::tempdir().unwrap();
    let store = writer(&directory.path().join("root")).unwrap();
    let secret = directory.path().join("secret");
    fs::write(&secret, b"x").unwrap();
    std::os::unix::fs::symlink(&secret, store.root().join("link")).unwrap();
    assert_eq!(store.read("link", 9).unwrap_err().kind, ErrorKind::Misplaced);
    assert_eq!(store.list("").unwrap(), ["link"]);
}

#[test]
fn operating_system_errors_get_a_kind_and_a_remedy() {
    for (error, kind, remedy) in [
        (io::ErrorKind::StorageFull, ErrorKind::NoSpace, "free space"),
        (io::ErrorKind::QuotaExceeded, ErrorKind::NoSpace, "quota"),
        (io::ErrorKind::PermissionDenied, ErrorKind::Denied, "chmod"),
        (io::ErrorKind::ReadOnlyFilesystem, ErrorKind::Misplaced, "remount"),
        (io::ErrorKind::NotADirectory, ErrorKind::Misplaced, "a file stands"),
        (io::ErrorKind::Other, ErrorKind::Unknown, "start again"),
    ] {
        let named = of_io(Path::new("/archive/x"), "write", &error.into());
        assert_eq!((named.kind, named.is_retryable()), (kind, kind == ErrorKind::NoSpace));
        assert!(named.to_string().contains(remedy) && named.to_string().contains("/archive/x"), "{named}");
    }
    // A failed sync is never retried, but for want of space.
    assert_eq!(of_sync(Path::new("x"), &io::Error::from_raw_os_error(5)).kind, ErrorKind::Unknown);
    assert_eq!(of_sync(Path::new("x"), &io::Error::from_raw_os_error(28)).kind, ErrorKind::NoSpace);
    // By then the name is there.
    assert_eq!(of_directory_sync(Path::new("x"), &io::Error::from_raw_os_error(28)).kind, ErrorKind::Unknown);
}

#[test]
fn a_full_disk_is_told_by_the_write() {
    // /dev/full is Linux's file on a full disk.
    let Ok(file) = OpenOptions::new().write(true).open("/dev/full") else { return };
    let directory = tempfile::tempdir().unwrap();
    let store = writer(directory.path()).unwrap();
    let incoming = Arc::clone(store.incoming.as_ref().unwrap());
    let temporary = directory.path().join("unused");
    let mut upload =
        FileUpload { file, temporary, root: directory.path().into(), settings: store.settings, _incoming: incoming };
    let error = upload.write(b"x").unwrap_err();
    assert_eq!(StoreError::of_write("object", &error).kind, ErrorKind::NoSpace);
}

/// Where the file system has the attribute and this process may set it; elsewhere the error says what is missing.
#[test]
fn an_immutable_object_is_destroyed_by_who_may_and_by_nobody_else() {
    let directory = tempfile::tempdir().unwrap();
    let settings = DirectorySettings { immutable: true };
    let store = DirectoryStore::writer(directory.path(), settings).unwrap();
    match store.create("a/b", b"bytes", None) {
        Ok(()) => {
            assert!(fs::remove_file(directory.path().join("a/b")).is_err(), "it is immutable");
            let operator = DirectoryStore::reader(directory.path()).unwrap();
            assert_eq!(operator.destroy("a/b").unwrap(), Destroyed::Gone);
            assert_eq!(operator.destroy("a/b").unwrap(), Destroyed::WasGone);
        }
        Err(error) => assert!(error.what.contains("CAP_LINUX_IMMUTABLE"), "{error}"),
    }
}
