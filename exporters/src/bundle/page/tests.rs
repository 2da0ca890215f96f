//! The page tells what there is to tell, and nothing that a record says can speak as the page.

use tachograph_ledger::{Hash, Leaf, sha256};
use tachograph_record::{Body, Time};

use super::*;

const NOW: u64 = 1_790_000_000_000_000_000;

/// The body of a record with `members` behind the mandatory ones.
fn body_of(kind: &str, members: &str) -> String {
    let time = Time::from_unix_nanos(NOW + 123).unwrap();
    let comma = if members.is_empty() { "" } else { "," };
    format!(
        "{{\"v\":\"1\",\"salt\":\"{}\",\"observed_at\":\"{time}\",\"event_id\":\"01a0c450-6c7b-7000-8000-000000000000\",\
         \"timestamp\":\"{time}\",\"kind\":\"{kind}\"{comma}{members}}}",
        "0".repeat(32)
    )
}

fn leaf_of(body: &str, index: u64) -> Leaf<'static> {
    Leaf {
        body_len: body.len() as u64,
        body_sha256: sha256(body.as_bytes()),
        cipher_sha256: None,
        dek_id: None,
        event_time: NOW + 123,
        index,
        kind: "generation",
        ledger: "acme.example/ai-audit",
        prev: Hash::from_bytes([7; 32]),
        producer: Some("credit-api-1"),
        producer_epoch: Some("e1"),
        producer_seq: Some(5),
        sealed_at: NOW + 9_000_000,
        span_id: None,
        stream: None,
        stream_prev: None,
        stream_seq: None,
        trace_id: None,
    }
}

fn told(body: &str, index: u64, depth: usize) -> Told<'_> {
    let record = Body::parse(body.as_bytes()).unwrap().record;
    Told {
        index,
        depth,
        role: Role::Answer,
        leaf: leaf_of(body, index),
        record: Some(record),
        body: Some(body),
        proof_len: 3,
    }
}

fn story<'a>(records: Vec<Told<'a>>) -> Story<'a> {
    Story {
        ledger: "acme.example/ai-audit",
        vkey: "acme.example/ai-audit+affa7b35+AQOhB7/zzhC+HXDdGOdLwJln5NYwm6UNXx3chmQSVTG4",
        created_at: Time::from_unix_nanos(NOW).unwrap(),
        selection: "the event loan-A-17 and all that caused it",
        size: 7,
        root: Hash::from_bytes([9; 32]),
        records,
        witnesses: vec![],
        not_after: vec![],
        covered: None,
        not_before: None,
    }
}

fn page_of(kind: &str, members: &str) -> String {
    let body = body_of(kind, members);
    render(&story(vec![told(&body, 5, 0)]))
}

/// What a reader sees, without markup.
fn seen(page: &str) -> String {
    let mut text = String::new();
    for part in page.split('<').skip(1) {
        text.push_str(part.split_once('>').map_or("", |(_, text)| text));
    }
    text.replace("&amp;", "&").replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", "\"").replace("&#39;", "'")
}

#[test]
fn tells_a_decision_in_a_sentence() {
    let page = page_of(
        "agent_decision",
        r#""service_name":"credit-api","actor_type":"agent","actor_id":"loan-bot","resource_type":"application","resource_id":"A-17",
        "outcome":"success","outcome_reason":"score too low","agent_id":"loan-bot","agent_version":"2.1","decision_type":"LOAN_APPROVAL",
        "decision_steps":["read the file","scored it"],"threshold":0.62,"confidence":0.41,"final_decision":"refuse","duration_ns":"812000000""#,
    );
    let text = seen(&page);
    for expected in [
        "On 2026-09-21 at 14:13:20 UTC, agent loan-bot 2.1 (service credit-api) decided refuse on application A-17 (LOAN_APPROVAL), \
         with a confidence of 0.41, below the threshold of 0.62; outcome: success; reason given: score too low.",
        "read the filescored it",
        "Took812 ms",
        "index 5 of 7, by an inclusion proof of 3 hashes. proofs/00000000000000000005.tlog-proof",
        "has the SHA-256 that the seal holds",
        "the event loan-A-17 and all that caused it",
    ] {
        assert!(text.contains(expected), "{expected:?} is not in {text}");
    }
}

#[test]
fn every_kind_has_a_sentence() {
    for kind in tachograph_record::Kind::ALL {
        let bare = seen(&page_of(kind.as_str(), ""));
        assert!(bare.contains("On 2026-09-21 at 14:13:20 UTC, "), "{kind}");
        let text = seen(&page_of(
            kind.as_str(),
            r#""actor_type":"user","actor_id":"u-7","action_type":"report.read","model":"m-1""#,
        ));
        assert!(text.contains("UTC, user u-7 "), "{kind}: {text}");
    }
}

#[test]
fn nothing_recorded_becomes_markup() {
    let attack = r#"</pre></td><script>alert(1)</script><img src=x onerror='alert(1)'><style>*{display:none}</style>&lt;b&gt; \" ' <a href=\"javascript:x\">"#;
    let members = format!(
        r#""service_name":"{attack}","actor_id":"{attack}","action_type":"{attack}","outcome_reason":"{attack}","model":"{attack}","prompt":"{attack}\n{attack}","parameters":{{"{attack}":"{attack}"}},"input_messages":[{{"role":"{attack}"}}],"output_path":"{attack}","metadata":{{"{attack}":[["{attack}"]]}}"#
    );
    let (page, plain) = (
        page_of("generation", &members),
        page_of(
            "generation",
            r#""service_name":"x","actor_id":"x","action_type":"x","outcome_reason":"x","model":"x","prompt":"x\nx","parameters":{"x":"x"},"input_messages":[{"role":"x"}],"output_path":"x","metadata":{"x":[["x"]]}"#,
        ),
    );
    assert!(page.matches("alert(1)").count() > 20, "the attack is on the page");
    for tag in ["<script", "<img", "<style", "<a ", "<b>", "</pre>", "</td>", "</table>"] {
        // Long texts get a block of their own, which short ones do not.
        let blocks = if tag == "</pre>" {
            page.matches("<pre class=\"r\"").count() - plain.matches("<pre class=\"r\"").count()
        } else {
            0
        };
        assert_eq!(page.matches(tag).count(), plain.matches(tag).count() + blocks, "{tag}");
    }
    assert_eq!(page.matches("<script").count(), 0);
    let quotes_in_tags = |page: &str| {
        page.split('<')
            .skip(1)
            .filter_map(|part| part.split_once('>'))
            .map(|(tag, _)| tag.matches("onerror").count() + tag.matches("javascript").count())
            .sum::<usize>()
    };
    assert_eq!(quotes_in_tags(&page), 0);
}

#[test]
fn what_is_hidden_or_turns_letters_is_shown_by_its_number() {
    let hidden = "\u{202e}\u{2066}\u{200b}\u{feff}\u{ad}\u{e0041}\u{85}\u{7f}\u{2028}\u{61c}";
    let page =
        page_of("generation", &format!(r#""prompt":"a{hidden}b\u0000\u001b[2J\r\nc","output":"שלום e\u0301 👩‍🚀 ❤️""#));
    for c in hidden.chars() {
        assert!(!page.contains(c), "U+{:04X}", u32::from(c));
        assert!(page.contains(&format!("⟨U+{:04X}⟩", u32::from(c))));
    }
    for expected in ["⟨U+0000⟩", "⟨U+001B⟩", "⟨U+000D⟩", "שלום", "❤\u{fe0f}", "<bdi class=\"r\">"] {
        assert!(page.contains(expected), "{expected}");
    }
    assert!(page.chars().all(|c| !c.is_control() || c == '\n' || c == '\t'));
}

#[test]
fn destroyed_body_leaves_its_seal() {
    let body = body_of("generation", "");
    let gone = Told { record: None, body: None, ..told(&body, 5, 0) };
    let text = seen(&render(&story(vec![gone])));
    assert!(text.contains("its kind is generation. The content is not here any more, only the seal."), "{text}");
    assert!(text.contains("is not here any more. It had the SHA-256"));
    assert!(text.contains("that it was rightly destroyed"));
}

#[test]
fn body_that_is_no_record_is_shown_as_it_is() {
    let body = body_of("generation", "");
    let odd = Told { record: None, body: Some("<b>no JSON"), ..told(&body, 5, 0) };
    let page = render(&story(vec![odd]));
    let text = seen(&page);
    assert!(text.contains("is not that of a record") && !text.contains("any more, only"));
    assert!(text.contains("<b>no JSON") && !page.contains("<b>"));
}

#[test]
fn body_that_is_not_the_sealed_one_is_not_called_so() {
    let (body, other) = (body_of("generation", ""), body_of("generation", r#""prompt":"other""#));
    let forged = Told { leaf: leaf_of(&other, 5), ..told(&body, 5, 0) };
    assert!(seen(&render(&story(vec![forged]))).contains("has not the SHA-256 that the seal holds"));
}

#[test]
fn everything_recorded_is_told_once() {
    let names = tachograph_record::Record::MEMBERS;
    let text_members =
        ["prompt", "metadata", "details", "context", "producer", "tenant", "team", "state_after", "raw_output"];
    assert!(text_members.iter().all(|name| names.contains(name)));
    let members: Vec<_> = text_members
        .iter()
        .map(|name| match *name {
            "metadata" | "details" | "context" | "state_after" => format!("\"{name}\":{{\"key\":\"value-of-{name}\"}}"),
            _ => format!("\"{name}\":\"value-of-{name}\""),
        })
        .collect();
    // In the order of the body, which the parser does not ask for.
    let text = seen(&page_of("generation", &members.join(",")));
    for name in text_members {
        assert_eq!(text.matches(&format!("value-of-{name}")).count(), 1, "{name}");
    }
    assert!(text.contains("All else that was recorded"));
}

#[test]
fn every_member_of_a_part_is_one_of_a_record() {
    let known = tachograph_record::Record::MEMBERS;
    let unknown = parts::names().find(|name| !known.contains(name) && !["v", "salt"].contains(name));
    assert_eq!(unknown, None);
}

#[test]
fn big_records_and_many_of_them_stay_readable() {
    let long = "word ".repeat(400_000);
    let list = format!("[{}1]", "1,".repeat(100_000));
    let deep = format!("{}1{}", "[".repeat(60), "]".repeat(60));
    let members = format!(r#""prompt":"{long}","inputs":{list},"decision_steps":{deep}"#);
    let page = page_of("generation", &members);
    assert!(page.len() < 4 << 20, "{} bytes", page.len());
    assert!(seen(&page).contains("bytes more are in records.jsonl"));

    let body = body_of("generation", "");
    let many = (0..1_500).map(|index| told(&body, index, 0)).collect();
    let page = render(&story(many));
    assert_eq!(page.matches("<article").count(), RECORDS_LIMIT);
    assert!(seen(&page).contains("500 records more are in this folder"));
}

#[test]
fn causes_stand_above_their_effects() {
    let body = body_of("generation", "");
    let page = render(&story(vec![told(&body, 2, 0), told(&body, 3, 1), told(&body, 5, 99)]));
    let at = |text: &str| page.find(text).unwrap_or_else(|| panic!("{text}"));
    assert!(at("id=\"record-2\" class=\"d0") < at("id=\"record-3\" class=\"d1"));
    assert!(at("id=\"record-3\" class=\"d1") < at("id=\"record-5\" class=\"d5"));
    assert!(seen(&page).contains("caused by what stands above it"));
}

#[test]
fn stamps_and_witnesses_are_named() {
    let body = body_of("lifecycle", r#""action_type":"time.anchor""#);
    let stamp = |file: &str, said_at| StampTold { file: file.into(), said_at, authority: "Example <TSA>".into() };
    let mut story = story(vec![Told { role: Role::Anchor, ..told(&body, 1, 0) }]);
    story.witnesses = vec!["witness.example/w1".into()];
    story.not_after = vec![stamp("not-after/tsa.tsr", Time::from_unix_nanos(NOW).ok())];
    story.not_before = Some(stamp("not-before.tsr", None));
    let page = render(&story);
    let text = seen(&page);
    for expected in [
        "witness.example/w1",
        "Example <TSA>: 2026-09-21T14:13:20.000000000Z (not-after/tsa.tsr)",
        "its time is in the token",
    ] {
        assert!(text.contains(expected), "{expected}");
    }
    assert!(text.contains("is here for its time alone"));
    assert!(!text.contains("there is no time stamp") && !text.contains("no witness has signed"));
}

#[test]
fn page_loads_and_runs_nothing() {
    let page = page_of("generation", r#""output_path":"https://evil.example/x.png""#);
    let policy = format!("style-src 'sha256-{}'", STANDARD.encode(Sha256::digest(STYLE)));
    assert!(page.contains("default-src 'none'") && page.contains(&policy));
    for forbidden in [" style=", "<script", "src=", "url(", "@import", "<link", "<iframe", "<form", " on"] {
        let in_tags =
            page.split('<').skip(1).filter_map(|part| part.split_once('>')).any(|(tag, _)| tag.contains(forbidden));
        let elsewhere = matches!(forbidden, "url(" | "@import") && page.contains(forbidden);
        assert!(!in_tags && !elsewhere, "{forbidden}");
    }
    let links: Vec<_> = page.split("href=\"").skip(1).map(|rest| rest.split('"').next().unwrap()).collect();
    assert!(links.iter().all(|link| link.starts_with('#') || *link == "VERIFY.md"), "{links:?}");
    assert!(STYLE.find("</").is_none());
}
