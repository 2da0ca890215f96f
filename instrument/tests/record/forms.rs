//! Functions that return a future, by hand or through `#[async_trait]`, or a stream are recorded when that ends.

use crate::sink::{find, recorded, recorded_async, text};
use futures_core::Stream;
use opentelemetry::trace::Status;
use std::pin::Pin;
use std::time::Duration;

#[tachograph::generation(model = "m", prompt, output = ret)]
fn by_hand<'a>(prompt: &'a str) -> impl Future<Output = Result<String, String>> + Send + 'a {
    let before = tachograph::current_event();
    async move {
        assert_eq!(before, tachograph::current_event(), "the event is open in both");
        tokio::task::yield_now().await;
        inner();
        if prompt.is_empty() {
            return Err("empty".to_owned());
        }
        Ok(prompt.to_uppercase())
    }
}

#[tachograph::tool_call(tool = "inner")]
fn inner() {}

type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

#[tachograph::tool_call(tool = "boxed", result = ret)]
fn boxed(fail: bool) -> BoxFuture<'static, Result<u8, &'static str>> {
    if fail {
        return Box::pin(async { Err("no") });
    }
    Box::pin(async { Ok(1) })
}

#[tachograph::tool_call(tool = "pinned", result = ret)]
fn pinned() -> Pin<Box<dyn Future<Output = u8>>> {
    Box::pin(std::future::ready(2))
}

#[async_trait::async_trait]
trait Model {
    async fn complete(&mut self, prompt: String) -> Result<String, String>;
    async fn warm(&self) -> usize {
        0
    }
}

struct Shouting {
    name: String,
}

#[async_trait::async_trait]
impl Model for Shouting {
    #[tachograph::generation(model = self.name, prompt = prompt, output = ret)]
    async fn complete(&mut self, prompt: String) -> Result<String, String> {
        tokio::task::yield_now().await;
        self.name.push('!');
        if prompt.is_empty() {
            return Err("empty".to_owned());
        }
        inner();
        Ok(prompt.to_uppercase())
    }

    #[tachograph::tool_call(tool = "warm", result = ret)]
    async fn warm(&self) -> usize {
        self.name.len()
    }
}

#[test]
fn a_returned_future_is_recorded_when_it_ends() {
    let spans = recorded_async(async {
        assert_eq!(by_hand("fox").await.as_deref(), Ok("FOX"));
        assert!(by_hand("").await.is_err());
        assert_eq!(boxed(false).await, Ok(1));
        assert_eq!(boxed(true).await, Err("no"));
        assert_eq!(pinned().await, 2);
    });
    let spans: Vec<_> = spans.iter().filter(|span| span.name != "inner").collect();
    assert_eq!(text(spans[0], "tachograph.prompt").as_deref(), Some("fox"));
    assert_eq!(text(spans[0], "tachograph.output").as_deref(), Some("FOX"));
    assert_eq!(spans[1].status, Status::error("empty"));
    assert_eq!(text(spans[2], "gen_ai.tool.call.result").as_deref(), Some("1"));
    assert_eq!(spans[3].status, Status::error("no"));
    assert_eq!(text(spans[4], "gen_ai.tool.call.result").as_deref(), Some("2"));
}

#[test]
fn async_trait_methods_are_recorded() {
    let spans = recorded_async(async {
        let mut model = Shouting { name: "m".to_owned() };
        assert_eq!(model.complete("fox".to_owned()).await.as_deref(), Ok("FOX"));
        let model: &mut (dyn Model + Send + Sync) = &mut model;
        assert!(model.complete(String::new()).await.is_err());
        assert_eq!(model.warm().await, 3);
    });
    let names: Vec<_> = spans.iter().map(|span| span.name.as_ref()).collect();
    assert_eq!(names, ["inner", "complete", "complete", "warm"]);
    let (call, failed) = (&spans[1], &spans[2]);
    assert_eq!(text(call, "gen_ai.request.model").as_deref(), Some("m"));
    assert_eq!(text(call, "tachograph.prompt").as_deref(), Some("fox"));
    assert_eq!(text(call, "tachograph.output").as_deref(), Some("FOX"));
    assert_eq!(text(&spans[0], "tachograph.parent.id"), text(call, "tachograph.event.id"));
    assert_eq!(failed.status, Status::error("empty"));
    assert_eq!(text(&spans[3], "gen_ai.tool.call.result").as_deref(), Some("3"));
}

#[tachograph::generation(model = "m", prompt)]
fn words(prompt: &str) -> impl Stream<Item = String> + use<> {
    inner();
    Words(prompt.split(' ').map(str::to_owned).collect())
}

#[tachograph::generation(model = "m")]
fn results(fail: bool) -> Pin<Box<dyn Stream<Item = Result<String, std::fmt::Error>> + Send>> {
    if fail {
        return Box::pin(Words(vec![Err(std::fmt::Error)]));
    }
    Box::pin(Words(vec![Ok("b".to_owned()), Ok("a".to_owned())]))
}

/// Gives the words from the last to the first.
struct Words<T>(Vec<T>);

impl<T: Unpin> Stream for Words<T> {
    type Item = T;

    fn poll_next(mut self: Pin<&mut Self>, _: &mut std::task::Context<'_>) -> std::task::Poll<Option<T>> {
        inner();
        std::task::Poll::Ready(self.0.pop())
    }
}

#[test]
fn a_returned_stream_is_recorded_when_it_ends() {
    async fn all<St: Stream + Unpin>(mut stream: St) -> Vec<St::Item> {
        let mut items = Vec::new();
        while let Some(item) = std::future::poll_fn(|task| Pin::new(&mut stream).poll_next(task)).await {
            items.push(item);
        }
        items
    }
    let spans = recorded_async(async {
        assert_eq!(all(words("red fox")).await, ["fox", "red"]);
        assert_eq!(all(results(false)).await.len(), 2);
        assert_eq!(all(results(true)).await.len(), 1);
        drop(words("x"));
    });
    let calls: Vec<_> = spans.iter().filter(|span| span.name != "inner").collect();
    let outcomes: Vec<_> = calls.iter().map(|call| text(call, "tachograph.outcome").expect("an outcome")).collect();
    assert_eq!(outcomes, ["success", "success", "failure", "cancelled"]);
    assert_eq!(text(calls[0], "tachograph.prompt").as_deref(), Some("red fox"));
    assert_eq!(crate::sink::value(calls[0], "tachograph.stream.chunks"), Some(2.into()));
    let below = spans.iter().filter(|span| text(span, "tachograph.parent.id") == text(calls[0], "tachograph.event.id"));
    assert_eq!(below.count(), 4, "once in the function, three times in the stream");
}

#[tachograph::generation(model = "m")]
fn for_ever(ready: bool) -> impl Future<Output = ()> {
    assert!(ready, "not ready");
    tokio::time::sleep(Duration::from_secs(600))
}

#[test]
fn a_returned_future_that_is_dropped_is_cancelled() {
    let spans = recorded_async(async {
        drop(for_ever(true));
        assert!(tokio::time::timeout(Duration::from_millis(1), for_ever(true)).await.is_err());
    });
    for span in &spans {
        assert_eq!(text(span, "tachograph.outcome").as_deref(), Some("cancelled"));
    }
    assert_eq!(spans.len(), 2);
}

#[test]
fn a_panic_before_the_future_is_a_failure() {
    let spans = recorded(|| {
        assert!(std::panic::catch_unwind(|| drop(for_ever(false))).is_err());
    });
    let span = find(&spans, "for_ever");
    assert_eq!(text(span, "tachograph.outcome").as_deref(), Some("failure"));
    assert_eq!(span.status, Status::error("not ready"));
}

/// `Send`, and not `Sync`.
struct Counter(std::cell::Cell<u32>);

#[tachograph::tool_call(tool = "t", arguments = counter.0.get(), result = ret)]
async fn counts(counter: Counter) -> u32 {
    counter.0.set(counter.0.get() + 1);
    tokio::task::yield_now().await;
    counter.0.get()
}

#[test]
fn a_future_is_send_where_the_functions_was() {
    fn sent<F: Future + Send>(future: F) -> F {
        future
    }
    let spans = recorded_async(async {
        assert_eq!(sent(counts(Counter(2.into()))).await, 3);
    });
    assert_eq!(text(&spans[0], "gen_ai.tool.call.result").as_deref(), Some("3"));
}

/// What the macro writes around a body must not warn where the body does not.
#[deny(warnings)]
mod without_warnings {
    #[tachograph::tool_call(tool = "t", result = ret)]
    pub(super) fn value() -> &'static str {
        "value"
    }

    #[tachograph::tool_call(tool = "t")]
    pub(super) async fn later() -> &'static str {
        "later"
    }

    #[tachograph::tool_call(tool = "t")]
    pub(super) fn made() -> impl Future<Output = u8> {
        std::future::ready(1)
    }

    #[tachograph::tool_call(tool = "t")]
    pub(super) fn never() -> ! {
        panic!("over")
    }

    #[tachograph::tool_call(tool = "t")]
    pub(super) async fn never_later() -> ! {
        loop {
            tokio::task::yield_now().await;
        }
    }
}

#[test]
fn functions_that_never_return_are_recorded_when_they_end() {
    let spans = recorded_async(async {
        assert_eq!(without_warnings::value(), "value");
        assert_eq!(without_warnings::later().await, "later");
        assert_eq!(without_warnings::made().await, 1);
        assert!(std::panic::catch_unwind(|| without_warnings::never()).is_err());
        let limit = Duration::from_millis(1);
        assert!(tokio::time::timeout(limit, async { without_warnings::never_later().await }).await.is_err());
    });
    let outcomes: Vec<_> = spans.iter().map(|span| text(span, "tachograph.outcome").expect("an outcome")).collect();
    assert_eq!(outcomes, ["success", "success", "success", "failure", "cancelled"]);
}
