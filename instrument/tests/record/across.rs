//! The chain across threads, pools, tasks, streams and channels.

use crate::nesting::{assert_child, event};
use crate::sink::{find, recorded, recorded_async, text};
use futures_util::StreamExt;
use opentelemetry_sdk::trace::SpanData;
use tachograph::{Carried, InContext, carry};

#[tachograph::generation(name = name, model = "m")]
fn leaf(name: &str) {}

#[tachograph::generation(name = name, model = "m")]
async fn slow_leaf(name: &str) {
    tokio::task::yield_now().await;
}

/// Asserts that these, and no others, are children of the span `parent`.
#[track_caller]
fn assert_children(spans: &[SpanData], parent: &str, children: &[&str]) {
    let parent = find(spans, parent);
    children.iter().for_each(|child| assert_child(find(spans, child), parent));
    let mut found: Vec<_> = spans
        .iter()
        .filter(|span| text(span, "tachograph.parent.id") == Some(event(parent)))
        .map(|span| span.name.as_ref())
        .collect();
    let mut children = children.to_vec();
    found.sort_unstable();
    children.sort_unstable();
    assert_eq!(found, children);
}

#[test]
fn threads() {
    #[tachograph::agent_decision(agent = "a")]
    fn decide() {
        let thread = tachograph::thread::spawn(|| leaf("spawned"));
        let borrowed = "scoped".to_owned();
        tachograph::thread::scope(|scope| {
            scope.spawn(|| leaf(&borrowed));
            scope.spawn(move || {
                leaf("outer");
                scope.spawn(|| leaf("nested")).join().expect("no panic");
            });
        });
        std::thread::Builder::new()
            .spawn(tachograph::bind_once(|| leaf("built")))
            .expect("a thread")
            .join()
            .expect("no panic");
        thread.join().expect("no panic");
    }
    let spans = recorded(decide);
    assert_children(&spans, "decide", &["spawned", "scoped", "outer", "nested", "built"]);
}

#[test]
fn callbacks() {
    #[tachograph::agent_decision(agent = "a")]
    fn make() -> (impl Fn(&'static str), impl FnMut(&'static str)) {
        let mut calls = 0;
        let counting = tachograph::bind_mut(move |name: &str| {
            calls += 1;
            leaf(&format!("{name} {calls}"));
        });
        (tachograph::bind(|name: &str| leaf(name)), counting)
    }
    #[tachograph::agent_decision(agent = "b")]
    fn other(callback: impl Fn(&'static str) + Sync) {
        std::thread::scope(|scope| {
            scope.spawn(|| callback("one"));
            scope.spawn(|| callback("two"));
        });
        callback("three");
        leaf("own");
    }
    let spans = recorded(|| {
        let (callback, mut counting) = make();
        other(callback);
        counting("counted");
        counting("counted");
    });
    // Also after the event has ended, and within another one.
    assert_children(&spans, "make", &["one", "two", "three", "counted 1", "counted 2"]);
    assert_children(&spans, "other", &["own"]);
}

#[test]
fn sets_of_tasks() {
    #[tachograph::agent_decision(agent = "a")]
    async fn decide() {
        let mut set = tokio::task::JoinSet::new();
        set.spawn(slow_leaf("task").in_current_context());
        set.spawn_blocking(tachograph::bind_once(|| leaf("blocking")));
        set.join_all().await;
        let local = tokio::task::LocalSet::new();
        local.spawn_local(slow_leaf("local").in_current_context());
        local.await;
    }
    let spans = recorded_async(decide());
    assert_children(&spans, "decide", &["task", "blocking", "local"]);
}

#[test]
fn streams() {
    async fn decide() -> impl futures_util::Stream<Item = u8> {
        let decision = tachograph::Decision::new("decide").start();
        let items = futures_util::stream::iter(1..=2).then(|item| async move {
            slow_leaf(&format!("item {item}")).await;
            item
        });
        let items = decision.run(|| items.in_current_context());
        decision.finish();
        items
    }
    let spans = recorded_async(async {
        let items = decide().await;
        leaf("between");
        assert_eq!(items.collect::<Vec<_>>().await, [1, 2]);
    });
    // It is polled after the event's end and outside of it.
    assert_children(&spans, "decide", &["item 1", "item 2"]);
    assert_eq!(text(find(&spans, "between"), "tachograph.parent.id"), None);
}

#[tachograph::agent_decision(name = name, agent = "a")]
fn send(name: &str, channel: impl FnOnce(Carried<&'static str>)) {
    channel(carry("carried"));
}

#[test]
fn channels() {
    let spans = recorded(|| {
        let (sender, receiver) = std::sync::mpsc::sync_channel(1);
        send("std", |value| sender.send(value).expect("room"));
        receiver.recv().expect("a value").run(|value| leaf(&format!("{value} std")));

        let (sender, receiver) = crossbeam_channel::bounded(1);
        send("crossbeam", |value| sender.send(value).expect("room"));
        let value = receiver.recv().expect("a value").map(|value| format!("{value} crossbeam"));
        assert_eq!(value.value(), "carried crossbeam");
        std::thread::spawn(move || value.run(|value| leaf(&value))).join().expect("no panic");

        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        runtime.block_on(async {
            let (sender, mut receiver) = tokio::sync::mpsc::channel(1);
            send("tokio", |value| sender.try_send(value).expect("room"));
            let value = receiver.recv().await.expect("a value");
            let handled = value.run_async(|value| async move { slow_leaf(&format!("{value} tokio")).await });
            tokio::spawn(handled).await.expect("no panic");
        });
    });
    for channel in ["std", "crossbeam", "tokio"] {
        assert_children(&spans, channel, &[&format!("carried {channel}")]);
    }
}

#[cfg(feature = "rayon")]
mod rayon_pool {
    use super::*;
    use rayon::prelude::*;
    use tachograph::rayon::InContextParallel;

    #[test]
    fn pools() {
        #[tachograph::agent_decision(name = name, agent = "a")]
        fn decide(name: &str, pool: &rayon::ThreadPool) {
            tachograph::rayon::install(pool, || {
                leaf(&format!("{name} installed"));
                tachograph::rayon::join(|| leaf(&format!("{name} left")), || leaf(&format!("{name} right")));
                tachograph::rayon::scope(|scope| {
                    scope.spawn(|scope| {
                        leaf(&format!("{name} scoped"));
                        scope.spawn(|_| leaf(&format!("{name} nested")));
                    });
                });
            });
        }
        let spans = recorded(|| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(3).build().expect("a pool");
            // Many at once, so that threads that wait take up each other's work.
            std::thread::scope(|scope| {
                for name in ["a", "b", "c", "d"] {
                    let pool = &pool;
                    scope.spawn(move || (0..20).for_each(|turn| decide(&format!("{name}{turn}"), pool)));
                }
            });
        });
        assert_eq!(spans.len(), 4 * 20 * 6);
        for name in ["a", "b", "c", "d"] {
            for turn in 0..20 {
                let name = format!("{name}{turn}");
                let children =
                    ["installed", "left", "right", "scoped", "nested"].map(|child| format!("{name} {child}"));
                assert_children(&spans, &name, &children.each_ref().map(String::as_str));
            }
        }
    }

    #[test]
    fn parallel_iterators() {
        #[tachograph::agent_decision(agent = "a")]
        fn decide() -> Vec<usize> {
            let mapped = (0..200_usize).par_in_current_context().map(|item| {
                leaf(&format!("mapped {item}"));
                item
            });
            let items: Vec<_> = mapped.collect();
            let bound = tachograph::bind(|item: &usize| leaf(&format!("bound {item}")));
            items.par_iter().for_each(bound);
            let count = items
                .par_iter()
                .par_in_current_context()
                .fold(
                    || 0_usize,
                    |count, item| {
                        leaf(&format!("folded {item}"));
                        count + 1
                    },
                )
                .reduce(
                    || 0,
                    |left, right| {
                        if left * right > 0 {
                            leaf("reduced");
                        }
                        left + right
                    },
                );
            assert_eq!(count, 200);
            items
        }
        let spans = recorded(|| {
            // From within a pool of several threads, whatever this machine has.
            let pool = rayon::ThreadPoolBuilder::new().num_threads(4).build().expect("a pool");
            let items = pool.install(decide);
            assert_eq!(items, (0..200).collect::<Vec<_>>(), "in order");
        });
        let parent = find(&spans, "decide");
        for kind in ["mapped", "bound", "folded"] {
            (0..200).for_each(|item| assert_child(find(&spans, &format!("{kind} {item}")), parent));
        }
        let orphan = spans.iter().find(|span| span.name != "decide" && text(span, "tachograph.parent.id").is_none());
        assert_eq!(orphan.map(|span| &span.name), None);
    }
}
