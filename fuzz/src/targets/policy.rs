//! A policy that was accepted is met by all of its witnesses, and more of them never make less of it.

use tachograph_ledger::{Policy, parse_note};

use crate::signing;

pub(crate) fn run(data: &[u8]) {
    let Ok(policy) = Policy::parse(data) else { return };
    assert!(policy.is_met_by(|_| true), "no cosignatures are enough");
    assert_eq!(policy.is_met_by(|_| false), !policy.asks_for_witnesses());
    for at in 0..policy.witnesses().len() {
        let (below, up_to) = (policy.is_met_by(|other| other < at), policy.is_met_by(|other| other <= at));
        assert!(up_to || !below, "one cosignature more made less of it");
    }
    let note = tachograph_ledger::sign_note("text\n", signing::key()).expect("the key is here");
    let note = parse_note(note.as_bytes()).expect("a signed note can be read");
    let evaluation = policy.evaluate(&note).expect("nobody cosigned it");
    assert!(evaluation.cosigned.is_empty() && evaluation.is_met != policy.asks_for_witnesses());
    let _ = policy.quorum();
}
