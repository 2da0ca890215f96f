//! What a witness is asked has one spelling, and whatever is asked it is judged without harm. The input is also taken as a checkpoint's
//! text, because no fuzzer guesses a signature, and as what a witness answered.

use tachograph_ledger::{AddCheckpoint, Checkpoint, WitnessName, WitnessSigningKey, parse_note, verify_consistency};

use crate::signing;

pub(crate) fn run(data: &[u8]) {
    if let Ok(request) = AddCheckpoint::parse(data) {
        assert_eq!(request.encode().as_bytes(), data);
        let checkpoint = Checkpoint::parse_unverified(request.checkpoint.as_bytes());
        if let Ok(Checkpoint { size, root, .. }) = checkpoint {
            let _ = verify_consistency(request.old, &root, size, &root, &request.proof);
        }
    }
    let Some(text) = signing::text(data) else { return };
    let name = || WitnessName::parse("w").expect("a good name");
    for witness in [WitnessSigningKey::from_seed(name(), [7; 32]), WitnessSigningKey::ml_dsa_44(name(), [8; 32])] {
        let note = tachograph_ledger::sign_note(text, signing::key()).expect("the key is here");
        if let Ok(checkpoint) = Checkpoint::parse_unverified(note.as_bytes()) {
            let line = witness.cosign(&checkpoint, 1_790_000_000);
            assert_eq!(witness.public().take(text, &line).as_ref(), Ok(&line));
            let noted = parse_note(format!("{note}{line}").as_bytes()).expect("a cosigned note can be read");
            assert_eq!(noted.reduced_to(&signing::key().public()).as_ref(), Ok(&note));
        }
        // As an answer: nothing of it can become part of what is signed.
        if let Ok(taken) = witness.public().take("text\n", text) {
            assert!(text.contains(&taken));
        }
    }
}
