use std::sync::Mutex;

use tachograph_ledger::{
    Checkpoint, LedgerName, SigningKey, WitnessName, WitnessSigningKey, consistency_proof, parse_note, root_of, sha256,
};

use tachograph_ledger::WitnessVerifyingKey;

use super::*;

const SIZE: u64 = 11;

fn leaves() -> Vec<Hash> {
    (0..SIZE).map(|index| sha256(&index.to_be_bytes())).collect()
}

fn ledger() -> SigningKey {
    SigningKey::from_seed(LedgerName::parse("acme.example/test").unwrap(), [1; 32])
}

fn key() -> WitnessSigningKey {
    WitnessSigningKey::from_seed(WitnessName::parse("w1").unwrap(), [2; 32])
}

/// Its second key.
fn second() -> WitnessSigningKey {
    WitnessSigningKey::ml_dsa_44(WitnessName::parse("w1").unwrap(), [4; 32])
}

fn stated() -> Checkpoint {
    Checkpoint { origin: ledger().name().clone(), size: SIZE, root: root_of(&leaves()) }
}

fn signed() -> Signed {
    Signed { size: SIZE, note: stated().sign(&ledger()).unwrap(), kept: None }
}

struct OfLeaves;

impl Proofs for OfLeaves {
    fn consistency(&self, old: u64, new: u64) -> Result<Vec<Hash>, NoProof> {
        match old {
            5 => Err(NoProof::NoSuchTree),
            6 => Err(NoProof::Unreadable("away".to_owned())),
            old => Ok(consistency_proof(&leaves(), old, new).unwrap()),
        }
    }
}

/// Answers one after another, and what was asked.
struct Script {
    answers: Mutex<Vec<Answer>>,
    asked: Mutex<Vec<(u64, usize)>>,
}

impl Carrier for Script {
    fn post(&self, url: &str, body: &[u8]) -> Result<Answer, OutboundError> {
        assert_eq!(url, "http://w1.example/add-checkpoint");
        let request = AddCheckpoint::parse(body).unwrap();
        assert_eq!(request.checkpoint, signed().note);
        self.asked.lock().unwrap().push((request.old, request.proof.len()));
        let mut answers = self.answers.lock().unwrap();
        if answers.is_empty() {
            return Err(OutboundError::Failed { url: url.to_owned(), what: "nobody there".to_owned() });
        }
        Ok(answers.remove(0))
    }
}

fn answer(status: u16, body: impl Into<Vec<u8>>) -> Answer {
    Answer { status, content_type: String::new(), body: body.into() }
}

/// What came of it, and what was asked: old size and length of the proof.
fn asked(known: u64, answers: Vec<Answer>) -> (Asked, Vec<(u64, usize)>) {
    asked_of(Vec::new(), known, answers)
}

/// The same of a witness that has further keys.
fn asked_of(more_keys: Vec<WitnessVerifyingKey>, known: u64, answers: Vec<Answer>) -> (Asked, Vec<(u64, usize)>) {
    let script = Script { answers: Mutex::new(answers), asked: Mutex::default() };
    let witness = Witness { key: key().public(), more_keys, url: "http://w1.example/add-checkpoint".to_owned() };
    let (signed, text) = (signed(), text());
    let asked = ask(&script, &OfLeaves, &witness, (&signed, &text), known);
    (asked, script.asked.into_inner().unwrap())
}

fn text() -> String {
    parse_note(signed().note.as_bytes()).unwrap().text().to_owned()
}

fn refusal(known: u64, answers: Vec<Answer>) -> String {
    match asked(known, answers).0.cosigned {
        Err(Failure::Refused(what)) => what,
        other => panic!("{other:?}"),
    }
}

fn fork(known: u64, answers: Vec<Answer>) -> String {
    match asked(known, answers).0.cosigned {
        Err(Failure::Fork(what)) => what,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_cosignature_is_taken() {
    let line = key().cosign(&stated(), 5);
    for (known, proof) in [(0, 0), (4, consistency_proof(&leaves(), 4, SIZE).unwrap().len()), (SIZE, 0)] {
        let (asked, questions) = asked(known, vec![answer(200, line.clone())]);
        assert_eq!(asked, Asked { seen: Some(SIZE), lines: line.clone(), cosigned: Ok(()) });
        assert_eq!(questions, [(known, proof)]);
    }
}

#[test]
fn a_witness_with_two_keys_is_asked_once_for_both() {
    let (first, other) = (key().cosign(&stated(), 5), second().cosign(&stated(), 5));
    let ask = |body: String| asked_of(vec![second().public()], 0, vec![answer(200, body)]).0;
    // In which order they come does not matter, nor what else comes.
    let foreign = WitnessSigningKey::from_seed(WitnessName::parse("w2").unwrap(), [3; 32]).cosign(&stated(), 5);
    let both = Asked { seen: Some(SIZE), lines: format!("{first}{other}"), cosigned: Ok(()) };
    assert_eq!(ask(format!("{first}{other}")), both);
    assert_eq!(ask(format!("{other}{foreign}{first}")), both);
    // One of them counts by itself, and is not enough.
    for line in [&first, &other] {
        let one = ask(line.clone());
        assert_eq!((one.seen, &one.lines), (Some(SIZE), line));
        assert!(matches!(one.cosigned, Err(Failure::Refused(what)) if what.contains("of one of its keys")));
    }
    // Beside one that is false the other does not count either.
    let of_another = Checkpoint { size: 1, ..stated() };
    for body in
        [format!("{first}{}", second().cosign(&of_another, 5)), format!("{}{other}", key().cosign(&of_another, 5))]
    {
        let none = ask(body);
        assert_eq!((none.seen, none.lines.as_str()), (None, ""));
        assert!(matches!(none.cosigned, Err(Failure::Refused(what)) if what.contains("is false")));
    }
    assert!(ask(foreign).cosigned.is_err());
}

#[test]
fn a_conflict_is_asked_once_more_from_where_the_witness_stands() {
    let line = key().cosign(&stated(), 5);
    for (known, stands) in [(0, 7), (7, 0), (4, SIZE), (SIZE + 5, 7)] {
        let first = if known > SIZE { 0 } else { known };
        let (asked, questions) = asked(known, vec![answer(409, format!("{stands}\n")), answer(200, line.clone())]);
        assert_eq!(asked, Asked { seen: Some(SIZE), lines: line.clone(), cosigned: Ok(()) });
        assert_eq!(questions.iter().map(|(old, _)| *old).collect::<Vec<_>>(), [first, stands]);
    }
    // Not again and again.
    let moving = vec![answer(409, "4\n"), answer(409, "7\n"), answer(200, line)];
    let (asked, questions) = asked(0, moving);
    assert_eq!((asked.seen, questions.len()), (Some(4), 2));
    assert!(asked.cosigned.unwrap_err().to_string().contains("409"));
    assert!(refusal(4, vec![answer(409, "4\n")]).contains("status 409: 4"));
}

#[test]
fn a_witness_that_saw_another_history_is_an_alarm() {
    assert!(
        fork(4, vec![answer(409, "12\n")])
            .contains("cosigned a checkpoint of 12 records, but this archive has only 11")
    );
    assert!(fork(0, vec![answer(409, "12\n")]).contains("rolled back"));
    assert!(fork(0, vec![answer(409, "4\n"), answer(422, "no")]).contains("cosigned a checkpoint of 4 records"));
    assert!(fork(SIZE, vec![answer(422, "no")]).contains("It was shown another history"));
    // It cosigned a size at which this ledger never had a checkpoint: it is shown ours, and whatever it answers, that is one.
    let line = key().cosign(&stated(), 5);
    for last in [answer(422, "no"), answer(200, line), answer(500, "")] {
        let answers = vec![answer(409, "5\n"), last];
        assert!(fork(0, answers.clone()).contains("no commit of this archive ends there"));
        assert_eq!(asked(0, answers).1, [(0, 0), (5, 0)]);
    }
    assert!(fork(0, vec![answer(409, "5\n")]).contains("no commit of this archive ends there"));
    // What we remember of it may be out of date.
    assert!(asked(5, vec![answer(409, "4\n"), answer(200, key().cosign(&stated(), 5))]).0.cosigned.is_ok());
}

#[test]
fn other_answers_are_failures_that_say_what_to_do() {
    assert!(refusal(0, vec![answer(404, "")]).contains("tachograph witness add"));
    assert!(refusal(0, vec![answer(403, "bad\u{1b}[31m")]).contains(
        "other keys for this ledger: have its operator compare ledger.vkey, and the links of changed keys (bad [31m)"
    ));
    assert!(refusal(0, vec![answer(500, "x".repeat(999))]).ends_with(&format!("status 500: {}", "x".repeat(MAX_TOLD))));
    // Without a proof there is nothing that a witness could refuse.
    assert!(refusal(0, vec![answer(422, "")]).contains("status 422"));
    for bad in ["", "x", "-1\n", "1\n\n", "99999999999999999999999\n"] {
        assert!(refusal(0, vec![answer(409, bad)]).contains("status 409"), "{bad:?}");
    }
    let of_other = WitnessSigningKey::from_seed(WitnessName::parse("w2").unwrap(), [3; 32]).cosign(&stated(), 5);
    for bad in ["", "ok\n", &of_other, &key().cosign(&Checkpoint { size: 1, ..stated() }, 5)] {
        assert!(refusal(0, vec![answer(200, bad)]).contains("without a good cosignature"), "{bad:?}");
    }
    assert!(matches!(asked(0, vec![]).0.cosigned, Err(Failure::Unanswered(what)) if what.contains("nobody there")));
    assert!(matches!(asked(6, vec![]).0.cosigned, Err(Failure::NoProof { old: 6, new: SIZE, .. })));
}
