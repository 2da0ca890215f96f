use super::*;
use crate::note::SigningKey;
use crate::{leaf_hash, root_of, sha256};

fn key(name: &str) -> SigningKey {
    SigningKey::from_seed(LedgerName::parse(name).unwrap(), [3; 32])
}

fn object(kind: ObjectKind, path: &str, rows: u64) -> Object {
    Object { kind, path: path.to_owned(), rows, sha256: sha256(path.as_bytes()), size: 10, retain_until: None }
}

fn records(class: &str) -> ObjectKind {
    ObjectKind::Records { class: class.to_owned() }
}

fn commit() -> Commit {
    let leaves: Vec<_> = (0u8..7).map(|at| leaf_hash(&[at])).collect();
    let mut tree = Edge::new();
    leaves.iter().for_each(|leaf| tree.push(*leaf));
    Commit {
        ledger: LedgerName::parse("a/b").unwrap(),
        first: 4,
        count: 3,
        edge: tree.hashes().to_vec(),
        last_hash: leaves[6],
        objects: vec![
            object(ObjectKind::Leaves, "leaves/day=2026-09-21/x.parquet", 3),
            object(records("default"), "records/class=default/x.parquet", 1),
            object(records("long"), "records/class=long/x.parquet", 2),
        ],
        prev_commit_sha256: sha256(b"the one before"),
        root: root_of(&leaves),
        terms: None,
    }
}

/// The same in format version 2.
fn commit_2() -> Commit {
    let mut commit = commit();
    for (object, until) in commit.objects.iter_mut().zip([2_000, 1_000, 2_000]) {
        object.retain_until = Some(until);
    }
    let writer = "host-1:4711:0011223344556677".to_owned();
    Commit { terms: Some(Terms { lock: Lock::Compliance, retain_until: 3_000, writer }), ..commit }
}

fn changed_2(change: impl FnOnce(&mut Commit, &mut Terms)) -> Commit {
    let mut commit = commit_2();
    let mut terms = commit.terms.take().unwrap();
    change(&mut commit, &mut terms);
    Commit { terms: Some(terms), ..commit }
}

fn changed(change: impl FnOnce(&mut Commit)) -> Commit {
    let mut commit = commit();
    change(&mut commit);
    commit
}

/// Signs a text that `Commit::sign` would not make.
fn open_text(text: &str) -> Result<Commit, CommitError> {
    Commit::open(sign_note(text, &key("a/b")).unwrap().as_bytes(), &key("a/b").public())
}

#[test]
fn what_was_signed_opens() {
    let note = commit().sign(&key("a/b")).unwrap();
    assert_eq!(note, commit().sign(&key("a/b")).unwrap(), "deterministic");
    assert_eq!(Commit::open(note.as_bytes(), &key("a/b").public()).unwrap(), commit());
    assert_eq!(Commit::parse_unverified(note.as_bytes()).unwrap(), commit());
    assert_eq!(commit().tree().unwrap().root(), commit().root);
    assert_eq!(commit().end(), 7);
}

#[test]
fn any_flipped_bit_is_noticed() {
    let (note, public) = (commit().sign(&key("a/b")).unwrap(), key("a/b").public());
    for bit in 0..note.len() * 8 {
        let mut bytes = note.clone().into_bytes();
        bytes[bit / 8] ^= 1 << (bit % 8);
        assert!(Commit::open(&bytes, &public).is_err(), "bit {bit}");
    }
}

#[test]
fn the_json_is_sorted_and_plain_to_any_library() {
    let text = commit().text();
    let line = text.lines().nth(1).unwrap();
    let value: serde_json::Value = serde_json::from_str(line).unwrap();
    assert_eq!(value.to_string(), line);
}

#[test]
fn a_signed_text_of_another_form_is_refused() {
    let text = commit().text();
    open_text(&text).unwrap();
    for (other, what) in [
        (text.replace("commit/v1", "commit/v2"), "Header"),
        (format!("{text}more\n"), "Header"),
        (format!("{HEADER}\n"), "Header"),
        (format!("{HEADER}\n7\n"), "Json"),
        (text.replace("\"v\":\"1\"", "\"v\":\"1\",\"w\":\"1\""), "Json"),
        (text.replace("\"v\":\"1\"", "\"v\":\"1\",\"v\":\"1\""), "Json"),
        (text.replace(",\"v\":\"1\"", ""), "Json"),
        (text.replace("\"3\"", "3"), "Json"),
        (text.replace("\"v\":\"1\"", "\"v\":\"3\""), "Version"),
        (text.replace("\":\"", "\": \""), "Spelling"),
        (text.replace("a/b", "a\\/b"), "Spelling"),
        (text.replace("{\"path\"", "{\"class\":null,\"path\""), "Spelling"),
        (text.replace("\"first\":\"4\"", "\"first\":\"04\""), "Value"),
        (text.replace("\"type\":\"leaves\"", "\"type\":\"records\""), "Value"),
        (text.replace("\"type\":\"leaves\"", "\"type\":\"tiles\""), "Value"),
        (text.replace("a/b", "a b"), "Name"),
        (text.replace("a/b", "a/c"), "OtherLedger"),
    ] {
        assert_ne!(other, text);
        let error = open_text(&other).unwrap_err();
        assert!(format!("{error:?}").starts_with(what), "{what}: {error:?}");
    }
}

#[test]
fn a_commit_that_contradicts_itself_is_refused_on_both_sides() {
    let other = sha256(b"other");
    for (bad, what) in [
        (changed(|c| c.count = 0), "Value"),
        (changed(|c| c.first = u64::MAX), "Tree(TooLarge"),
        (changed(|c| c.first = MAX_RECORDS), "Tree(TooLarge"),
        (changed(|c| c.count = u64::MAX), "Tree(TooLarge"),
        (changed(|c| c.first = 5), "Tree(EdgeLength"),
        (changed(|c| c.root = other), "Tree(RootMismatch"),
        (changed(|c| c.edge[0] = other), "Tree(RootMismatch"),
        (changed(|c| c.last_hash = other), "LastHash"),
        (changed(|c| c.objects.clear()), "Objects"),
        (changed(|c| drop(c.objects.remove(0))), "Objects"),
        (changed(|c| c.objects.push(object(ObjectKind::Leaves, "leaves/y", 3))), "Objects"),
        (changed(|c| c.objects[2].kind = records("default")), "Objects"),
        (changed(|c| c.objects[2].path = c.objects[1].path.clone()), "Objects"),
        (changed(|c| c.objects[0].rows = 2), "Rows"),
        (changed(|c| c.objects[2].rows = 1), "Rows"),
        (changed(|c| c.objects[2].rows = u64::MAX), "Rows"),
        (changed(|c| c.objects[1].kind = records("")), "Value"),
        (changed(|c| c.objects[1].kind = records("a/b")), "Value"),
    ] {
        let text = bad.text();
        for error in [bad.check().unwrap_err(), open_text(&text).unwrap_err()] {
            assert!(format!("{error:?}").starts_with(what), "{what}: {error:?}");
        }
    }
}

#[test]
fn a_path_never_leaves_the_archive() {
    let long = "p".repeat(MAX_PATH_BYTES + 1);
    for path in ["", "/etc/passwd", "..", "a/../b", "a//b", "a/", "./a", "a\\b", "a\"b", "a\nb", "ä", &long] {
        let bad = changed(|c| c.objects[1].path = path.to_owned());
        assert!(matches!(bad.check(), Err(CommitError::Value { member: "path", .. })), "{path:?}");
    }
    for path in ["a", "a/b..c", "...", "class=x/day=2026-01-01/a b.parquet"] {
        changed(|c| c.objects[1].path = path.to_owned()).check().unwrap();
    }
}

#[test]
fn the_size_is_bounded() {
    let many = changed(|c| {
        for at in 0..20_000 {
            c.objects.push(object(records(&format!("c{at}")), &format!("records/{at}"), 0));
        }
    });
    assert!(matches!(many.check(), Err(CommitError::TooLong { .. })));
}

#[test]
#[should_panic(expected = "never signed")]
fn a_commit_that_contradicts_itself_is_not_signed() {
    changed(|c| c.count = 2).sign(&key("a/b")).unwrap();
}

#[test]
fn a_commit_is_no_checkpoint_and_no_checkpoint_a_commit() {
    let key = key("a/b");
    let checkpoint = crate::Checkpoint { origin: commit().ledger, size: 7, root: commit().root };
    assert!(crate::Checkpoint::open(commit().sign(&key).unwrap().as_bytes(), &key.public()).is_err());
    assert!(Commit::open(checkpoint.sign(&key).unwrap().as_bytes(), &key.public()).is_err());
}

#[test]
fn version_2_carries_terms() {
    let (key, commit) = (key("a/b"), commit_2());
    let note = commit.sign(&key).unwrap();
    assert_eq!(Commit::open(note.as_bytes(), &key.public()).unwrap(), commit);
    let line = note.lines().nth(1).unwrap();
    assert!(line.contains(r#""ledger":"a/b","lock":"compliance","objects":[{"path":"#), "{line}");
    assert!(line.contains(r#""path":"leaves/day=2026-09-21/x.parquet","retain_until":"2000","rows":"3""#), "{line}");
    assert!(line.contains(r#""retain_until":"3000","root":"#), "{line}");
    assert!(line.ends_with(r#""v":"2","writer":"host-1:4711:0011223344556677"}"#), "{line}");
}

#[test]
fn terms_are_whole_or_absent() {
    let wrong = |commit: Commit| matches!(commit.check(), Err(CommitError::Value { .. }));
    assert!(wrong(Commit { terms: None, ..commit_2() }), "dates without terms");
    assert!(wrong(Commit { objects: commit().objects, ..commit_2() }), "an object without a date");
    assert!(wrong(changed_2(|_, terms| terms.retain_until = 1_999)), "an object that outlives its proof");
    assert!(wrong(changed_2(|_, terms| terms.retain_until = MAX_RETAIN_UNTIL + 1)));
    for writer in ["", "a b", "a\"b", "ä", &"x".repeat(129)] {
        assert!(wrong(changed_2(|_, terms| terms.writer = writer.to_owned())), "{writer:?}");
    }
    let text = commit_2().text();
    for (from, to) in [
        (r#""v":"2""#, r#""v":"1""#),
        (r#","writer":"host-1:4711:0011223344556677""#, ""),
        (r#""lock":"compliance","#, ""),
        (r#""lock":"compliance""#, r#""lock":"legal""#),
        (r#""v":"2""#, r#""v":"3""#),
    ] {
        assert!(open_text(&text.replace(from, to)).is_err(), "{from} → {to}");
    }
}
