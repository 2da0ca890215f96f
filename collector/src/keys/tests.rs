use std::path::Path;

use age::secrecy::SecretString;

use super::*;
use crate::config::Encryption;

const SECRET: &str = "PRIVATE+KEY+never shown";

fn write(dir: &Path, name: &str, text: &str) -> std::path::PathBuf {
    let path = dir.join(name);
    std::fs::write(&path, text).unwrap();
    path
}

fn with_passphrase(dir: &Path, passphrase: &str) -> Protection {
    let path = write(dir, "passphrase", &format!("{passphrase}\n"));
    Protection::load(Some(&Encryption::PassphraseFile(path))).unwrap()
}

fn bytes(bytes: &[u8]) -> Zeroizing<Vec<u8>> {
    Zeroizing::new(bytes.to_vec())
}

#[test]
fn what_is_sealed_opens_with_the_same_means_alone() {
    let dir = tempfile::tempdir().unwrap();
    let identity = age::x25519::Identity::generate();
    let line = identity.to_string();
    let identity_file = write(
        dir.path(),
        "identity",
        &format!("# created: today\n{}\n", age::secrecy::ExposeSecret::expose_secret(&line)),
    );
    let recipient = identity.to_public().to_string();
    let by_identity =
        Protection::load(Some(&Encryption::Age { recipient: recipient.clone(), identity_file: identity_file.clone() }))
            .unwrap();
    let by_passphrase = with_passphrase(dir.path(), "correct horse battery staple");
    let wrong = with_passphrase(dir.path(), "correct horse battery stapler");
    for (means, others) in [(&by_identity, [&by_passphrase, &wrong]), (&by_passphrase, [&by_identity, &wrong])] {
        let sealed = means.seal(SECRET.as_bytes()).unwrap();
        assert!(sealed.starts_with(b"age-encryption.org/v1\n") && Protection::is_sealed(&sealed));
        assert_ne!(sealed, means.seal(SECRET.as_bytes()).unwrap());
        assert_eq!(means.open(sealed.clone()).unwrap().as_slice(), SECRET.as_bytes());
        for other in others {
            assert!(other.open(sealed.clone()).unwrap_err().contains("another passphrase or identity"));
        }
        assert!(Protection::default().open(sealed.clone()).unwrap_err().contains("keys.encryption"));
        for at in [0, 30, sealed.len() - 1] {
            let mut changed = sealed.clone();
            changed[at] ^= 1;
            assert_ne!(means.open(changed).map(|plain| plain.to_vec()), Ok(SECRET.as_bytes().to_vec()), "byte {at}");
        }
        // What is plain stays readable.
        assert_eq!(means.open(bytes(SECRET.as_bytes())).unwrap().as_slice(), SECRET.as_bytes());
    }
    // What was encrypted for somebody else could not be read again.
    let stranger = age::x25519::Identity::generate().to_public().to_string();
    let error = Protection::load(Some(&Encryption::Age { recipient: stranger, identity_file: identity_file.clone() }));
    assert!(error.unwrap_err().to_string().contains("could not be read again"));
    let error = Protection::load(Some(&Encryption::Age { recipient: "age1nonsense".to_owned(), identity_file }));
    assert!(error.unwrap_err().to_string().contains("age_recipient"));
}

#[test]
fn the_ordinary_default_of_age_is_read_and_more_work_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let means = with_passphrase(dir.path(), "p");
    let sealed = |factor| {
        let mut recipient = age::scrypt::Recipient::new(SecretString::from("p".to_owned()));
        recipient.set_work_factor(factor);
        bytes(&age::encrypt(&recipient, b"key").unwrap())
    };
    assert_eq!(means.open(sealed(MAX_WORK_FACTOR)).unwrap().as_slice(), b"key");
    // The header says how much; nothing of it is done.
    let mut greedy = sealed(10).to_vec();
    let at = greedy.windows(4).position(|four| four == b" 10\n").unwrap();
    greedy[at + 1..at + 3].copy_from_slice(b"30");
    let error = means.open(bytes(&greedy)).unwrap_err();
    assert!(error.contains("work factor 30"), "{error}");
}

#[test]
fn an_end_of_line_is_no_part_of_a_passphrase() {
    let dir = tempfile::tempdir().unwrap();
    let means = |text: &str| Protection::load(Some(&Encryption::PassphraseFile(write(dir.path(), "p", text)))).unwrap();
    let sealed = means("open sesame\r\n").seal(b"key").unwrap();
    for text in ["open sesame", "open sesame\r", "open sesame\n"] {
        assert_eq!(means(text).open(sealed.clone()).unwrap().as_slice(), b"key", "{text:?}");
    }
}

#[test]
fn nothing_shows_a_secret() {
    let dir = tempfile::tempdir().unwrap();
    let means = with_passphrase(dir.path(), "open sesame");
    assert_eq!(format!("{means:?}"), "Protection(passphrase ***)");
    assert!(Protection::load(Some(&Encryption::PassphraseFile(write(dir.path(), "empty", "\nx\n")))).is_err());
    let path = write(dir.path(), "key", SECRET);
    let error = file::signing_key(&path, &Protection::default()).unwrap_err();
    assert!(
        error.to_string().contains("key: not a private key") && !error.to_string().contains("never shown"),
        "{error}"
    );
}

fn key(name: &str, seed: u8) -> SigningKey {
    SigningKey::from_seed(LedgerName::parse(name).unwrap(), [seed; 32])
}

#[test]
fn a_file_that_is_not_there_yet_is_waited_for_and_a_wrong_one_is_not() {
    let dir = tempfile::tempdir().unwrap();
    let right = key("a/b", 1);
    let mac = [7; 32];
    let birth = crate::data_dir::Birth {
        vkey: &right.public(),
        signing_key: None,
        mac: &mac,
        escrow: true,
        protection: Protection::default(),
        unfinished: false,
    };
    let data_dir = DataDir::create(&dir.path().join("data"), tachograph_record::Time::default(), birth).unwrap();
    let path = dir.path().join("mounted");
    let keys = Keys { signing: KeySource::File { path: Some(path.clone()) }, ..Keys::default() };
    let signer = signer(&keys, &data_dir).unwrap();
    assert_eq!(signer.public(), &right.public());
    let error = tachograph_ledger::sign_note("text\n", &*signer).unwrap_err().to_string();
    assert!(error.contains("mounted"), "{error}");

    std::fs::write(&path, key("a/b", 2).to_line().as_bytes()).unwrap();
    let error = tachograph_ledger::sign_note("text\n", &*signer).unwrap_err().to_string();
    assert!(error.contains("this is the key of"), "{error}");
    assert!(matches!(super::signer(&keys, &data_dir), Err(KeysError::Wrong(_))));

    std::fs::write(&path, right.to_line().as_bytes()).unwrap();
    let note = tachograph_ledger::sign_note("text\n", &*signer).unwrap();
    // Held from now on.
    std::fs::remove_file(&path).unwrap();
    assert_eq!(tachograph_ledger::sign_note("text\n", &*signer).unwrap(), note);
}
