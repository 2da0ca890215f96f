//! How a call ends is recorded as what it was: success, error, panic, early return, cancellation.

use crate::sink::{find, recorded, recorded_async, text};
use opentelemetry::trace::Status;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

#[derive(Debug)]
struct Refused(&'static str);

impl fmt::Display for Refused {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "refused: {}", self.0)
    }
}

impl std::error::Error for Refused {}

#[tachograph::generation(output = ret, prompt = prompt)]
fn fallible(prompt: &str) -> Result<String, Refused> {
    if prompt.is_empty() {
        return Err(Refused("empty"));
    }
    let number: u32 = prompt.parse().map_err(|_| Refused("not a number"))?;
    Ok(number.to_string())
}

#[test]
fn an_error_is_a_failure_with_its_type_and_text() {
    let spans = recorded(|| {
        assert!(fallible("x").is_err());
    });
    let span = find(&spans, "fallible");
    assert_eq!(text(span, "tachograph.outcome").as_deref(), Some("failure"));
    let error_type = text(span, "error.type").expect("type");
    assert!(error_type.ends_with("outcomes::Refused"), "{error_type}");
    assert_eq!(span.status, Status::error("refused: not a number"));
    assert_eq!(text(span, "tachograph.prompt").as_deref(), Some("x"));
    assert_eq!(text(span, "tachograph.output"), None);
}

#[test]
fn an_early_return_is_seen() {
    let spans = recorded(|| {
        assert!(fallible("").is_err());
        assert_eq!(fallible("12").expect("number"), "12");
    });
    assert_eq!(spans[0].status, Status::error("refused: empty"));
    assert_eq!(text(&spans[1], "tachograph.output").as_deref(), Some("12"));
}

struct Plain;

#[derive(Debug)]
struct OnlyDebug(#[allow(dead_code)] u8);

#[tachograph::tool_call]
fn plain_error() -> Result<(), Plain> {
    Err(Plain)
}

#[tachograph::tool_call]
fn debug_error() -> Result<(), OnlyDebug> {
    Err(OnlyDebug(3))
}

type Answer = std::result::Result<u8, Box<dyn std::error::Error>>;

#[tachograph::tool_call(fallible, result = ret)]
fn aliased(fail: bool) -> Answer {
    if fail {
        Err("no")?;
    }
    Ok(5)
}

#[test]
fn errors_need_not_be_displayable() {
    let spans = recorded(|| {
        drop(plain_error());
        drop(debug_error());
        drop(aliased(true));
        drop(aliased(false));
    });
    assert_eq!(spans[0].status, Status::error(""));
    assert_eq!(spans[1].status, Status::error("OnlyDebug(3)"));
    assert_eq!(spans[2].status, Status::error("no"));
    assert_eq!(text(&spans[3], "gen_ai.tool.call.result").as_deref(), Some("5"));
}

#[tachograph::agent_decision(agent = "a", state = *calls)]
fn panicking(calls: &mut u32) {
    *calls += 1;
    tachograph::step!("BEFORE");
    panic!("call {calls} went wrong");
}

#[test]
fn a_panic_is_recorded_and_goes_on() {
    let spans = recorded(|| {
        let payload = catch_unwind(AssertUnwindSafe(|| panicking(&mut 0))).expect_err("a panic");
        let message = payload.downcast_ref::<String>().expect("text");
        assert_eq!(message, "call 1 went wrong");
    });
    let span = find(&spans, "panicking");
    assert_eq!(text(span, "tachograph.outcome").as_deref(), Some("failure"));
    assert_eq!(text(span, "tachograph.outcome.reason").as_deref(), Some("panic"));
    assert_eq!(text(span, "error.type").as_deref(), Some("panic"));
    assert_eq!(span.status, Status::error("call 1 went wrong"));
    assert_eq!(text(span, "tachograph.state.before").as_deref(), Some("0"));
    assert_eq!(text(span, "tachograph.state.after"), None);
    assert!(text(span, "tachograph.decision.steps").is_some());
}

#[tachograph::generation(model = model())]
fn entry_panics() {}

fn model() -> &'static str {
    panic!("no model")
}

#[test]
fn a_panic_in_an_argument_is_recorded_too() {
    let spans = recorded(|| {
        assert!(catch_unwind(entry_panics).is_err());
    });
    let span = find(&spans, "entry_panics");
    assert_eq!(text(span, "tachograph.outcome.reason").as_deref(), Some("panic"));
}

#[tachograph::generation(prompt = prompt, output = ret)]
async fn slow(prompt: String, time: Duration) -> Result<String, Refused> {
    tokio::time::sleep(time).await;
    if prompt.is_empty() {
        Err(Refused("empty"))?;
    }
    Ok(prompt)
}

#[test]
fn an_asynchronous_call_ends_as_it_ends() {
    let spans = recorded_async(async {
        let blink = Duration::from_millis(1);
        assert!(slow("a".to_owned(), blink).await.is_ok());
        assert!(slow(String::new(), blink).await.is_err());
    });
    assert_eq!(text(&spans[0], "tachograph.outcome").as_deref(), Some("success"));
    assert_eq!(text(&spans[0], "tachograph.output").as_deref(), Some("a"));
    assert!(spans[0].end_time >= spans[0].start_time + Duration::from_millis(1));
    assert_eq!(text(&spans[1], "tachograph.outcome").as_deref(), Some("failure"));
    assert_eq!(spans[1].status, Status::error("refused: empty"));
}

#[test]
fn a_dropped_future_is_cancelled() {
    let spans = recorded_async(async {
        let never = slow("never polled".to_owned(), Duration::ZERO);
        drop(never);
        let long = slow("polled".to_owned(), Duration::from_secs(600));
        assert!(tokio::time::timeout(Duration::from_millis(5), long).await.is_err());
    });
    let span = find(&spans, "slow");
    assert_eq!(text(span, "tachograph.outcome").as_deref(), Some("cancelled"));
    assert_eq!(text(span, "tachograph.prompt").as_deref(), Some("polled"));
}

#[tachograph::tool_call]
async fn async_panic() -> u8 {
    tokio::task::yield_now().await;
    panic!("in a poll")
}

#[test]
fn an_asynchronous_panic_is_a_failure() {
    let spans = recorded_async(async {
        assert!(tokio::spawn(async_panic()).await.is_err());
    });
    let span = find(&spans, "async_panic");
    assert_eq!(text(span, "tachograph.outcome.reason").as_deref(), Some("panic"));
    assert_eq!(span.status, Status::error("in a poll"));
}

#[test]
fn a_future_that_a_neighbours_panic_drops_is_cancelled() {
    let spans = recorded_async(async {
        let both = async { tokio::join!(slow("patient".to_owned(), Duration::from_secs(600)), async_panic()) };
        assert!(tokio::spawn(both).await.is_err());
    });
    assert_eq!(text(find(&spans, "slow"), "tachograph.outcome").as_deref(), Some("cancelled"));
    assert_eq!(text(find(&spans, "async_panic"), "tachograph.outcome").as_deref(), Some("failure"));
}

#[tachograph::generation(outcome = "pending", outcome_reason = "queued")]
fn filtered(prompt: &str) -> Result<(), Refused> {
    if prompt.contains("weapon") {
        tachograph::set_outcome(tachograph::Outcome::Blocked, "content filter");
        return Err(Refused("filter"));
    }
    if prompt.is_empty() {
        return Err(Refused("empty"));
    }
    Ok(())
}

#[test]
fn an_outcome_can_be_named_and_set() {
    let spans = recorded(|| {
        drop(filtered("fox"));
        drop(filtered("weapon"));
        drop(filtered(""));
    });
    let of = |i: usize| {
        (
            text(&spans[i], "tachograph.outcome").expect("outcome"),
            text(&spans[i], "tachograph.outcome.reason").expect("reason"),
        )
    };
    assert_eq!(of(0), ("pending".to_owned(), "queued".to_owned()));
    assert_eq!(of(1), ("blocked".to_owned(), "content filter".to_owned()));
    assert_eq!(of(2).0, "failure");
}

struct Store {
    items: Vec<String>,
}

impl Store {
    /// Borrowed results, lifetimes and `impl Trait` go through unchanged.
    #[tachograph::tool_call(tool = "first", result = ret)]
    fn first_mut(&mut self) -> &mut String {
        &mut self.items[0]
    }

    #[tachograph::tool_call(tool = "all", arguments = prefix)]
    fn starting<'a>(&'a self, prefix: &'a str) -> impl Iterator<Item = &'a String> + use<'a> {
        self.items.iter().filter(move |item| item.starts_with(prefix))
    }

    #[tachograph::tool_call(tool = "into", result = ret.len())]
    async fn into_items<T: From<String>>(mut self, extra: String) -> Vec<T> {
        self.items.push(extra);
        self.items.into_iter().map(T::from).collect()
    }

    #[tachograph::agent_decision(agent = "store", state = self.items.len())]
    async fn grow(&mut self, by: &str) -> usize {
        self.items.push(by.to_owned());
        self.items.len()
    }
}

#[test]
fn signatures_of_every_sort_are_served() {
    let spans = recorded_async(async {
        let mut store = Store { items: vec!["ab".to_owned()] };
        store.first_mut().push('c');
        assert_eq!(store.starting("ab").count(), 1);
        assert_eq!(store.grow("x").await, 2);
        let items: Vec<String> = store.into_items("d".to_owned()).await;
        assert_eq!(items, ["abc", "x", "d"]);
    });
    assert_eq!(text(find(&spans, "first_mut"), "gen_ai.tool.call.result").as_deref(), Some("\"ab\""));
    assert_eq!(text(find(&spans, "into_items"), "gen_ai.tool.call.result").as_deref(), Some("3"));
    let grow = find(&spans, "grow");
    assert_eq!(text(grow, "tachograph.state.before").as_deref(), Some("1"));
    assert_eq!(text(grow, "tachograph.state.after").as_deref(), Some("2"));
}

type AppResult<T> = std::result::Result<T, Refused>;

#[tachograph::tool_call(tool = "t", result = ret)]
fn by_another_name(number: u8) -> AppResult<u8> {
    if number == 0 { Err(Refused("zero")) } else { Ok(number) }
}

#[tachograph::tool_call(tool = "t")]
async fn answer(fail: bool) -> Answer {
    if fail {
        Err("no")?;
    }
    Ok(5)
}

trait Handles {
    type Result;
    fn handle(&self) -> Self::Result;
}

impl Handles for u8 {
    type Result = u8;

    #[tachograph::tool_call(tool = "t", result = ret)]
    fn handle(&self) -> Self::Result {
        self + 1
    }
}

impl Handles for u16 {
    type Result = Result<u16, String>;

    #[tachograph::tool_call(tool = "t", result = ret)]
    fn handle(&self) -> Self::Result {
        Err("odd".to_owned())
    }
}

#[test]
fn an_error_is_a_failure_whatever_its_type_is_called() {
    let spans = crate::sink::recorded_async(async {
        assert!(by_another_name(0).is_err());
        assert!(by_another_name(7).is_ok());
        assert!(answer(true).await.is_err());
        assert_eq!(3_u8.handle(), 4);
        assert!(3_u16.handle().is_err());
    });
    let seen: Vec<_> = spans
        .iter()
        .map(|span| (text(span, "tachograph.outcome").expect("an outcome"), text(span, "gen_ai.tool.call.result")))
        .collect();
    let expected =
        [("failure", None), ("success", Some("7")), ("failure", None), ("success", Some("4")), ("failure", None)];
    assert_eq!(seen, expected.map(|(outcome, result)| (outcome.to_owned(), result.map(str::to_owned))));
    assert_eq!(spans[0].status, Status::error("refused: zero"));
}

macro_rules! leave_if {
    ($leave:expr; $($value:tt)*) => {
        if $leave {
            return None;
        } else {
            $($value)*
        }
    };
}

#[tachograph::tool_call(tool = "t", arguments = leave_if!(leave; "stays"))]
fn left(leave: bool) -> Option<u8> {
    Some(1)
}

#[test]
fn an_argument_that_leaves_is_no_panic() {
    let spans = recorded(|| assert_eq!(left(true), None));
    assert_eq!(text(&spans[0], "tachograph.outcome").as_deref(), Some("cancelled"));
}
