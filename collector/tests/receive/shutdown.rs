use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use http::Version;
use tachograph_collector::receive::{Listeners, ReceiveError, bind};
use tokio::{net::TcpStream, time::timeout};

use crate::{
    desk::{count, open, until},
    wire::{Ask, PROTOBUF},
};

fn ask(version: Version) -> Ask<'static> {
    Ask {
        version,
        method: http::Method::POST,
        path: "/v1/traces",
        headers: &[("content-type", PROTOBUF)],
        body: "x".into(),
    }
}

#[tokio::test]
async fn requests_under_way_end_before_the_shutdown_does() {
    let desk = open(|_| {}).await;
    desk.hold(true);
    // Connections without a request do not keep anybody waiting.
    let _idle = TcpStream::connect(desk.http).await.expect("connects");
    let senders = [Version::HTTP_11, Version::HTTP_2].map(|version| tokio::spawn(ask(version).to(desk.http)));
    until("both are under way", || desk.waiting() == 2).await;
    desk.stop.send_replace(true);
    until("no connection is accepted any more", || std::net::TcpStream::connect(desk.http).is_err()).await;
    assert!(!desk.served.is_finished());
    desk.hold(false);
    for sender in senders {
        assert_eq!(sender.await.expect("no panic").status, 200);
    }
    let ended = timeout(Duration::from_secs(5), desk.served).await;
    ended.expect("ends").expect("no panic");
    assert_eq!(count(&desk.metrics.connections_open), 0);
}

#[tokio::test]
async fn the_shutdown_has_a_deadline() {
    let desk = open(|l| l.limits.drain_timeout = Duration::from_millis(300)).await;
    desk.hold(true);
    let senders = [Version::HTTP_11, Version::HTTP_2].map(|version| {
        let addr = desk.grpc;
        tokio::spawn(async move {
            let stream = TcpStream::connect(addr).await.expect("connects");
            ask(version).over(stream).await
        })
    });
    until("both are under way", || desk.waiting() == 2).await;
    let begun = Instant::now();
    desk.stop.send_replace(true);
    let ended = timeout(Duration::from_secs(5), desk.served).await;
    ended.expect("ends").expect("no panic");
    assert!(begun.elapsed() >= Duration::from_millis(300));
    for sender in senders {
        assert!(sender.await.expect("no panic").is_err(), "acknowledged");
    }
    assert_eq!(count(&desk.metrics.bytes_in_flight), 0);
    assert_eq!(count(&desk.metrics.connections_open), 0);
}

#[tokio::test]
async fn a_port_in_use_is_named() {
    let desk = open(|_| {}).await;
    let listeners = Listeners { grpc: Some(desk.grpc), ..Listeners::default() };
    let Err(e) = bind(listeners, Default::default()).await else {
        panic!("bound twice");
    };
    assert!(matches!(e, ReceiveError::InUse { .. }), "{e}");
    let said = e.to_string();
    assert!(said.contains(&desk.grpc.to_string()) && said.contains("--grpc"), "{said}");
}

#[tokio::test]
async fn an_address_of_another_machine_is_named() {
    let elsewhere: SocketAddr = "192.0.2.1:4318".parse().expect("an address");
    let listeners = Listeners { http: Some(elsewhere), ..Listeners::default() };
    let Err(e) = bind(listeners, Default::default()).await else {
        panic!("bound elsewhere");
    };
    assert!(e.to_string().contains("192.0.2.1:4318"), "{e}");
    let none = bind(Listeners::default(), Default::default()).await;
    assert!(matches!(none, Err(ReceiveError::NoListener)));
}
