//! `tachograph export-tlog`, and as its readers Go's own transparency-log packages and two Rust crates of another project.

mod azul;

use std::fs;
use std::path::Path;
use std::process::Command;

use p256::ecdsa::signature::Signer as _;
use tachograph_ledger::{Checkpoint, LedgerName, SignError, Signer, VerifyingKey};
use tachograph_tests::command::{run, tachograph};
use tachograph_tests::home::Home;
use tachograph_tests::http::export;
use tachograph_tests::otlp::{Events, request};
use tachograph_tests::seed::Random;
use tachograph_tests::tree;

/// The variable that names `tests/go/tlogcheck`, built.
const TLOGCHECK: &str = "TACHOGRAPH_TEST_TLOGCHECK";

fn check(log: &Path, key: &Path) -> (i32, String) {
    let vkey = fs::read_to_string(key).expect("a key");
    let Some(program) = std::env::var_os(TLOGCHECK) else {
        panic!("{TLOGCHECK} is not set; run `cargo xtask test rust`, which builds the program and names it")
    };
    let mut command = Command::new(program);
    command.arg(log).arg(vkey.trim());
    let told = run(command);
    let (code, told) = (told.code, told.stdout + &told.stderr);
    // A P-256 key (0x02, and the DER of a SubjectPublicKeyInfo) is none that the Rust crates know.
    if vkey.trim().splitn(3, '+').nth(2).is_some_and(|key| key.starts_with("Aj")) {
        return (code, told);
    }
    // Both find the same.
    let azul = azul::check(log, vkey.trim(), 1);
    assert_eq!(azul.is_ok(), code == 0, "Go: {told}, Rust: {azul:?}");
    if let Ok(size) = azul {
        assert_eq!(told, format!("{size} entries are good\n"));
    }
    (code, told)
}

/// Stands in for a key service.
struct Service {
    public: VerifyingKey,
    key: p256::ecdsa::SigningKey,
}

impl Service {
    /// Of the ledger that this is a key of.
    fn new(vkey: &str) -> Self {
        const SPKI_HEAD: [u8; 26] = [
            0x30, 0x59, 0x30, 0x13, 6, 7, 0x2a, 0x86, 0x48, 0xce, 0x3d, 2, 1, 6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1,
            7, 3, 0x42, 0,
        ];
        let name = vkey.split('+').next().and_then(|name| LedgerName::parse(name).ok()).expect("a name");
        let key = p256::ecdsa::SigningKey::from_slice(&[5; 32]).expect("a key");
        let spki = [&SPKI_HEAD, key.verifying_key().to_sec1_point(false).as_bytes()].concat();
        Self { public: VerifyingKey::p256(name, &spki).expect("a key"), key }
    }
}

impl Signer for Service {
    fn public(&self) -> &VerifyingKey {
        &self.public
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SignError> {
        let signature: p256::ecdsa::DerSignature = self.key.sign(message);
        Ok(signature.as_bytes().to_vec())
    }
}

#[test]
fn others_read_what_was_exported_and_what_was_brought_up_to_date() {
    let home = Home::new("archive: { max_age: 100ms }\n");
    let place = tempfile::tempdir().expect("a temporary directory");
    let (log, key) = (place.path().join("log"), home.data().join("ledger.vkey"));
    let events = Events::new(&mut Random::of_test("tlog"));
    for (count, enough) in [(40, 40), (700, 740)] {
        let collector = home.start();
        for _ in 0..count / 20 {
            assert_eq!(export(collector.http, "/v1/traces", &request(events.generations(20).1)).status, 200);
        }
        collector.wait_archived();
        // Beside the running collector too.
        let exported = tachograph(&[&"export-tlog", &home.data(), &"-o", &log, &"--json"]);
        exported.expect(0, &[]);
        let size: u64 = exported.json()["size"].as_str().expect("a size").parse().expect("a number");
        assert!(size >= enough, "{size}");
        assert_eq!(check(&log, &key), (0, format!("{size} entries are good\n")));
        collector.stop();
    }
    // Full tiles, partial ones, and a second level.
    assert!(log.join("tile/0/000").is_file() && log.join("tile/entries/001").is_file());
    assert!(!tree::files(&log.join("tile/1")).is_empty());

    // A changed leaf, hash or signature is seen.
    for path in ["tile/entries/000", "tile/0/001", "checkpoint"] {
        let path = log.join(path);
        let good = fs::read(&path).expect("a file");
        let mut bad = good.clone();
        let at = bad.len() / 2;
        bad[at] ^= 1;
        fs::write(&path, &bad).expect("written");
        assert_eq!(check(&log, &key).0, 1, "{}", path.display());
        fs::write(&path, &good).expect("written");
    }
    // A key on the curve P-256 is read too.
    let service = Service::new(&fs::read_to_string(&key).expect("a key"));
    let checkpoint = fs::read(log.join("checkpoint")).expect("a checkpoint");
    let signed = Checkpoint::parse_unverified(&checkpoint).expect("a checkpoint").sign(&service).expect("a signature");
    let on_p256 = place.path().join("p256.vkey");
    fs::write(&on_p256, service.public.to_line()).expect("written");
    assert_eq!(check(&log, &on_p256).0, 1);
    fs::write(log.join("checkpoint"), &signed).expect("written");
    assert_eq!(check(&log, &on_p256).0, 0);
    fs::write(log.join("checkpoint"), signed.replacen("A", "B", 1)).expect("written");
    assert_eq!(check(&log, &on_p256).0, 1);
    fs::write(log.join("checkpoint"), checkpoint).expect("written");

    // Another ledger's files are not written over.
    let other = Home::new("archive: { max_age: 100ms }\n");
    let collector = other.start();
    assert_eq!(export(collector.http, "/v1/traces", &request(events.generations(1).1)).status, 200);
    collector.wait_archived();
    collector.stop();
    // Tests' ledgers have one name, so that only the key tells them apart.
    let told = tachograph(&[&"export-tlog", &other.data(), &"-o", &log]);
    assert_eq!(told.code, 2, "{told:?}");
}
