use proptest::prelude::*;

use super::*;
use crate::{WitnessName, WitnessSigningKey, sha256};

fn vkey(number: usize) -> String {
    let name = WitnessName::parse(&format!("w{number}")).unwrap();
    WitnessSigningKey::from_seed(name, *sha256(&number.to_be_bytes()).as_bytes()).public().to_line()
}

fn witnesses(count: usize) -> String {
    (0..count).map(|number| format!("witness w{number} {}\n", vkey(number))).collect()
}

fn refused(text: &str) -> String {
    Policy::parse(text.as_bytes()).unwrap_err().to_string()
}

#[test]
fn thresholds_count_members() {
    let policy = Policy::parse(format!("{}group few 2 w0 w1 w2\nquorum few\n", witnesses(3)).as_bytes()).unwrap();
    for (present, met) in [(0b000, false), (0b001, false), (0b101, true), (0b111, true)] {
        assert_eq!(policy.is_met_by(|at| present >> at & 1 == 1), met, "{present:b}");
    }
    assert_eq!(policy.quorum(), "2 of 3 (group few)");
    assert!(policy.asks_for_witnesses());
}

#[test]
fn errors_say_what_to_do() {
    assert_eq!(
        refused("witness a b\n"),
        "line 1 of the policy: not a verifier key: `<name>+<8 hex>+<base64>` on one line expected"
    );
    assert!(refused("").ends_with("end it with `quorum NAME`, a witness or group, or `quorum none`"));
    assert!(refused("quorum w\n").ends_with("no line before this one defines a witness or group `w`"));
    assert!(refused(&"#".repeat(MAX_POLICY_BYTES + 1)).ends_with("the limit is 262144"));
}

#[test]
fn entries_are_bounded() {
    let most = witnesses(MAX_POLICY_ENTRIES);
    assert_eq!(Policy::parse(format!("{most}quorum none").as_bytes()).unwrap().witnesses().len(), MAX_POLICY_ENTRIES);
    let more = format!("{}quorum none", witnesses(MAX_POLICY_ENTRIES + 1));
    assert!(refused(&more).ends_with("there are more than 64 witnesses"));
    let mut groups = witnesses(1);
    for number in 0..=MAX_POLICY_ENTRIES {
        let member = if number == 0 { "w0".to_owned() } else { format!("g{}", number - 1) };
        groups.push_str(&format!("group g{number} any {member}\n"));
    }
    assert!(refused(&format!("{groups}quorum g0")).ends_with("there are more than 64 groups"));
}

#[test]
fn names_are_bytes() {
    let line = |name: &[u8]| [b"witness ", name, b" ", vkey(0).as_bytes(), b"\nquorum ", name, b"\n# \xff\n"].concat();
    let policy = Policy::parse(&line(b"w\xe4chter")).unwrap();
    assert_eq!(policy.quorum(), "w\u{fffd}chter");
    // The Kelvin sign is no K.
    Policy::parse(&[&line(b"K")[..], b"group \xe2\x84\xaa any K\n"].concat()).unwrap();
}

proptest! {
    #[test]
    fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = Policy::parse(&bytes);
    }

    #[test]
    fn lines_of_known_words_are_read_or_refused(lines in prop::collection::vec(
        "(log|witness|group|quorum|#) ?(a|b|none)? ?(any|all|1|2|3)? ?(a|b|c)?( (a|b|c))?", 0..8,
    )) {
        let text = format!("{}{}", witnesses(2).replace("witness w0", "witness a"), lines.join("\n"));
        if let Ok(policy) = Policy::parse(text.as_bytes()) {
            // More witnesses never make less of it.
            let none = policy.is_met_by(|_| false);
            prop_assert!(policy.is_met_by(|_| true));
            prop_assert_eq!(none, !policy.asks_for_witnesses());
        }
    }
}
