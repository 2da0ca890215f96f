//! An event names the events that caused it, however they reached it.

use crate::sink::{find, recorded, recorded_async, text};
use opentelemetry_sdk::trace::SpanData;
use tachograph::EventRef;

#[tachograph::tool_call(tool = "feed", result = ret.0)]
fn observe(price: u32) -> (u32, EventRef) {
    (price, tachograph::current_event().expect("an open event"))
}

#[tachograph::agent_decision(agent = "trader", inputs = prices, causes = causes)]
fn decide(prices: [u32; 2], causes: &[EventRef], more: &EventRef) {
    tachograph::caused_by(more);
}

/// The events that a record's links name, checked against the records themselves.
fn causes(of: &SpanData, all: &[SpanData]) -> Vec<String> {
    of.links
        .iter()
        .map(|link| {
            let id = &link.attributes[0];
            assert_eq!(id.key.as_str(), "tachograph.event.id");
            let cause =
                all.iter().find(|span| text(span, "tachograph.event.id").as_deref() == Some(&*id.value.as_str()));
            let cause = cause.expect("the cause's record");
            assert_eq!(link.span_context.trace_id(), cause.span_context.trace_id());
            assert_eq!(link.span_context.span_id(), cause.span_context.span_id());
            cause.name.to_string()
        })
        .collect()
}

#[test]
fn a_decision_made_from_three_inputs_names_all_three() {
    let spans = recorded(|| {
        let ((first, a), (second, b)) = (observe(1), observe(2));
        let (_, c) = tachograph::event_of(|| tachograph::audit! { name = "limits", action = "limits.read" });
        decide([first, second], &[a, b], &c.expect("an event"));
    });
    let decision = find(&spans, "decide");
    assert_eq!(causes(decision, &spans), ["observe", "observe", "limits"]);
    assert_ne!(decision.links[0], decision.links[1]);
    assert_eq!(text(decision, "tachograph.parent.id"), None);
}

#[tachograph::approval(of = order, granted = true)]
fn approve(order: Option<EventRef>) {}

#[tachograph::generation(model = "m", causes = ret.1)]
fn named_at_the_end() -> (u8, Vec<EventRef>) {
    (1, vec![observe(3).1])
}

#[test]
fn causes_come_from_anywhere() {
    let spans = recorded(|| {
        let order: EventRef = observe(1).1.to_string().parse().expect("its own text form");
        let order: EventRef =
            serde_json::from_str(&serde_json::to_string(&order).expect("json")).expect("its own json");
        approve(Some(order));
        approve(None);
        named_at_the_end();
    });
    assert_eq!(causes(&spans[1], &spans), ["observe"]);
    assert_eq!(causes(&spans[2], &spans), [""; 0]);
    assert_eq!(causes(find(&spans, "named_at_the_end"), &spans), ["observe"]);
}

#[tachograph::generation(model = "m")]
async fn outer() {
    tokio::task::yield_now().await;
    observe(1);
}

#[test]
fn the_event_of_a_call_is_the_first_that_began() {
    let spans = recorded_async(async {
        let ((), event) = tachograph::event_of_future(async {
            let (_, inner) = tachograph::event_of_future(outer()).await;
            assert!(inner.is_some());
            observe(2);
        })
        .await;
        tachograph::audit! { name = "after", action = "x", causes = event }
        let (three, none) = tachograph::event_of(|| 3);
        assert_eq!((three, none), (3, None));
    });
    assert_eq!(causes(find(&spans, "after"), &spans), ["outer"]);
}

#[test]
fn without_a_recorder_there_is_no_event() {
    let _turn = crate::sink::turn();
    assert_eq!(tachograph::current_event(), None);
    let ((), event) = tachograph::event_of(|| approve(None));
    assert_eq!(event, None);
}

#[test]
fn only_whole_references_are_read() {
    let good = "019b2c54-9c1e-7a52-8f5a-6c1f0e1d2c3b:4bf92f3577b34da6a3ce929d0e0e4736:00f067aa0ba902b7";
    assert_eq!(good.to_uppercase().parse::<EventRef>().expect("a reference").to_string(), good);
    for bad in [
        "",
        ":",
        "019b2c54-9c1e-7a52-8f5a-6c1f0e1d2c3b",
        "019b2c54-9c1e-7a52-8f5a-6c1f0e1d2c3b:4bf92f3577b34da6a3ce929d0e0e4736",
        "019b2c54-9c1e-7a52-8f5a-6c1f0e1d2c3b:4bf92f3577b34da6a3ce929d0e0e4736:00f067aa0ba902b7:",
        "019b2c54-9c1e-7a52-8f5a-6c1f0e1d2c3b:00000000000000000000000000000000:00f067aa0ba902b7",
        "019b2c54-9c1e-7a52-8f5a-6c1f0e1d2c3b:4bf92f3577b34da6a3ce929d0e0e4736:0000000000000000",
        "019b2c54-9c1e-7a52-8f5a-6c1f0e1d2c3b:+bf92f3577b34da6a3ce929d0e0e4736:00f067aa0ba902b7",
        "019b2c54 9c1e 7a52 8f5a 6c1f0e1d2c3b:4bf92f3577b34da6a3ce929d0e0e4736:00f067aa0ba902b7",
    ] {
        assert!(bad.parse::<EventRef>().is_err(), "{bad}");
    }
}
