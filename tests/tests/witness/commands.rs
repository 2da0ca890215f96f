//! What people type, and what they are told.

use std::ffi::OsStr;
use std::fs;

use tachograph_tests::command::tachograph;
use tachograph_tests::home::{Home, LEDGER, SMALL};
use tachograph_tests::http::{Connection, get};

use crate::scene::Scene;

#[test]
fn a_witness_is_made_once_and_runs_once() {
    let scene = Scene::new("commands");
    let witness = &scene.witnesses[0];
    let dir = witness.directory();
    // An `init --post-quantum` that was cut short leaves such a one too.
    tachograph(&[&"witness", &"init", &dir, &"--name", &"again", &"--post-quantum"])
        .expect(2, &["is not empty", "witness post-quantum"]);
    tachograph(&[&"witness", &"init", &dir.join("x"), &"--name", &"a+b"]).expect(2, &["--name a+b", "no `+`"]);
    tachograph(&[&"witness", &"run", &dir, &"--listen", &"127.0.0.1:0"]).expect(2, &["is in use by another process"]);
    tachograph(&[&"witness", &"list", &scene.directory.path()]).expect(2, &["witness init"]);
    let vkey = scene.home.data().join("ledger.vkey");
    let again = tachograph(&[&"witness", &"add", &dir, &vkey]);
    assert_eq!((again.code, again.stdout.trim()), (0, format!("{LEDGER} is followed already.").as_str()));
    tachograph(&[&"witness", &"add", &dir, &witness.vkey]).expect(2, &["0x01 is a ledger's"]);
    // A private key is not repeated; the file of one is named, and no more.
    let secret = "PRIVATE+KEY+a/b+0123abcd+c2VjcmV0";
    let file = scene.directory.path().join("private");
    fs::write(&file, secret).unwrap();
    let typed: [&[&dyn AsRef<OsStr>]; 4] = [
        &[&"witness", &"add", &dir, &secret],
        &[&"witness", &"add", &dir, &file],
        &[&"verify", &scene.home.archive(), &"--key", &secret],
        &[&"verify", &scene.home.archive(), &"--key", &file],
    ];
    for arguments in typed {
        let refused = tachograph(arguments);
        refused.expect(2, &["private key"]);
        assert!(!format!("{}{}", refused.stdout, refused.stderr).contains("c2VjcmV0"), "{}", refused.stderr);
    }
    // Another ledger of the same name.
    let other = Home::new("");
    let refused = tachograph(&[&"witness", &"add", &dir, &other.data().join("ledger.vkey")]);
    refused.expect(2, &["is followed already, with the key"]);
    let listed = tachograph(&[&"witness", &"list", &dir]);
    assert!(listed.stdout.contains(LEDGER) && listed.stdout.contains("nothing cosigned yet"), "{}", listed.stdout);
}

#[test]
fn a_witness_answers_what_it_knows_and_bounds_the_rest() {
    let scene = Scene::new("answers");
    let address = scene.witnesses[0].address;
    assert_eq!(get(address, "/healthz").text(), "ok\n");
    assert_eq!(scene.witnesses[0].checkpoint(LEDGER).status, 404);
    for path in ["/", "/add-checkpointx", "/../keys/witness.key", "/logs/checkpoint"] {
        assert_eq!(get(address, path).status, 404, "{path}");
    }
    assert_eq!(get(address, "/add-checkpoint").status, 405);
    let post = |body: &[u8]| Connection::open(address).unwrap().post("/add-checkpoint", "text/plain", body).unwrap();
    assert_eq!(post(b"").status, 400);
    assert_eq!(post(b"old 0\n\nsomebody.example/else\n0\n47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\n\n\xe2\x80\x94 x AAAAAAAA\n").status, 404);
    assert_eq!(post(&vec![b'a'; (128 << 10) + 1]).status, 413);
    // One connection, several questions.
    let mut connection = Connection::open(address).unwrap();
    for _ in 0..3 {
        assert_eq!(connection.post("/add-checkpoint", "text/plain", b"x").unwrap().status, 400);
    }
}

#[test]
fn a_policy_that_can_t_be_met_is_refused_before_anything_starts() {
    let scene = Scene::new("policies");
    let check = || {
        let outcome = tachograph(&[&"check", &"-c", &scene.home.config(), &"--data", &scene.home.data()]);
        (outcome.code, outcome.stderr)
    };
    assert_eq!(check().0, 0, "{:?}", check());
    let ledger = fs::read_to_string(scene.home.data().join("ledger.vkey")).unwrap();
    let w1 = &scene.witnesses[0];
    let other = Home::new("");
    let others = fs::read_to_string(other.data().join("ledger.vkey")).unwrap();
    for (policy, word) in [
        (scene.policy_of("quorum none\n"), "asks for no witness"),
        (scene.policy_of("quorum w9\n"), "line 6 of the policy: no line before this one defines"),
        (format!("witness w1 {}\nquorum w1\n", w1.vkey), "can't be met by the witnesses that have a URL"),
        (format!("witness w1 {} ftp://w1\nquorum w1\n", w1.vkey), "the URL of witness w1"),
        (
            format!("log {others}{}quorum w1\n", w1.line()),
            &format!("for other logs than this ledger, whose line is `log {}", ledger.trim()),
        ),
    ] {
        fs::write(scene.policy(), policy).unwrap();
        let (code, said) = check();
        assert!(code == 2 && said.contains(word), "{word}: {said}");
        scene.home.refused().expect(2, &[word]);
    }
    for (config, word) in [
        (format!("{SMALL}witnesses: {{policy: /no/such}}\n"), "witnesses.policy: /no/such"),
        (scene.config().replace("200ms", "1ms"), "witnesses.every"),
        (format!("{}  authorities: /no/such\n", scene.config()), "witnesses.authorities: /no/such"),
        (format!("{}  url: x\n", scene.config()), "url"),
    ] {
        fs::write(scene.policy(), scene.policy_of("quorum w1\n")).unwrap();
        scene.home.configure(&config);
        scene.home.refused().expect(2, &[word]);
    }
}
