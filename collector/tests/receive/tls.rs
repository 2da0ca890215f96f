use std::{fs, net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

use http::Version;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::{
    ClientConfig, RootCertStore,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName},
};
use tachograph_collector::receive::{Tls, TlsError};
use tempfile::TempDir;
use tokio::{net::TcpStream, time::timeout};
use tokio_rustls::{TlsConnector, client::TlsStream};

use crate::{
    desk::{count, open, until},
    wire::{Ask, PROTOBUF, Reply},
};

type Authority = CertifiedIssuer<'static, KeyPair>;

fn authority() -> Authority {
    let mut params = CertificateParams::new(vec![]).expect("valid");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().expect("a key")).expect("signs")
}

/// A certificate of `authority`, and its key.
fn issue(authority: &Authority) -> (rcgen::Certificate, KeyPair) {
    let key = KeyPair::generate().expect("a key");
    let params = CertificateParams::new(vec!["localhost".into()]).expect("valid");
    let certificate = params.signed_by(&key, authority).expect("signs");
    (certificate, key)
}

struct Files {
    dir: TempDir,
    authority: Authority,
}

impl Files {
    fn new() -> Self {
        let files = Self { dir: TempDir::new().expect("a directory"), authority: authority() };
        let (certificate, key) = issue(&files.authority);
        files.write("cert.pem", &certificate.pem());
        files.write("key.pem", &key.serialize_pem());
        files.write("ca.pem", &files.authority.pem());
        files
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).expect("writes");
    }

    fn tls(&self, client_ca: Option<&str>) -> Tls {
        Tls { cert: self.path("cert.pem"), key: self.path("key.pem"), client_ca: client_ca.map(|name| self.path(name)) }
    }

    /// Connects as a client that trusts the authority, with a certificate of `identity` if there is one.
    async fn connect(
        &self,
        addr: SocketAddr,
        alpn: &[u8],
        identity: Option<&Authority>,
    ) -> std::io::Result<TlsStream<TcpStream>> {
        let mut roots = RootCertStore::empty();
        roots.add(self.authority.der().clone()).expect("a valid authority");
        let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_root_certificates(roots);
        let mut config = match identity {
            None => builder.with_no_client_auth(),
            Some(authority) => {
                let (certificate, key) = issue(authority);
                let chain: Vec<CertificateDer<'static>> = vec![certificate.der().clone()];
                let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
                builder.with_client_auth_cert(chain, key).expect("a pair")
            }
        };
        config.alpn_protocols = vec![alpn.to_vec()];
        let stream = TcpStream::connect(addr).await?;
        let name = ServerName::try_from("localhost").expect("a name");
        TlsConnector::from(Arc::new(config)).connect(name, stream).await
    }

    /// Sends one request so; an error if the connection comes to nothing.
    async fn send(&self, addr: SocketAddr, version: Version, identity: Option<&Authority>) -> Result<Reply, String> {
        let alpn: &[u8] = match version {
            Version::HTTP_2 => b"h2",
            _ => b"http/1.1",
        };
        let stream = self.connect(addr, alpn, identity).await;
        let stream = stream.map_err(|e| e.to_string())?;
        assert_eq!(stream.get_ref().1.alpn_protocol(), Some(alpn));
        ask(version).over(stream).await.map_err(|e| e.to_string())
    }
}

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
async fn tls_on_both_ports_and_versions() {
    let files = Files::new();
    let desk = open(|l| l.tls = Some(files.tls(None))).await;
    for addr in [desk.grpc, desk.http] {
        for version in [Version::HTTP_11, Version::HTTP_2] {
            let reply = files.send(addr, version, None).await.expect("an answer");
            assert_eq!(reply.status, 200);
        }
    }
    let plain = TcpStream::connect(desk.http).await.expect("connects");
    let refused = ask(Version::HTTP_11).over(plain).await;
    assert!(refused.is_err(), "plain text was served: {refused:?}");
    until("the failure is counted", || count(&desk.metrics.tls_handshakes_failed) == 1).await;
    assert_eq!(desk.taken().len(), 4);
}

#[tokio::test]
async fn a_client_certificate_is_required_if_an_authority_is_given() {
    let files = Files::new();
    let desk = open(|l| l.tls = Some(files.tls(Some("ca.pem")))).await;
    let stranger = authority();
    for identity in [None, Some(&stranger)] {
        // In TLS 1.3 the client learns of it only when it reads.
        let refused = files.send(desk.http, Version::HTTP_11, identity).await;
        assert!(refused.is_err(), "{refused:?}");
    }
    until("both are counted", || count(&desk.metrics.tls_handshakes_failed) == 2).await;
    assert!(desk.taken().is_empty());
    for version in [Version::HTTP_11, Version::HTTP_2] {
        let known = files.send(desk.grpc, version, Some(&files.authority)).await.expect("an answer");
        assert_eq!(known.status, 200);
    }
}

#[tokio::test]
async fn a_handshake_that_does_not_come_is_given_up() {
    let files = Files::new();
    let desk = open(|l| {
        l.tls = Some(files.tls(None));
        l.limits.header_read_timeout = Duration::from_millis(200);
    })
    .await;
    let silent = TcpStream::connect(desk.grpc).await.expect("connects");
    until("it is given up", || count(&desk.metrics.tls_handshakes_failed) == 1).await;
    let mut byte = [0];
    silent.readable().await.expect("closed");
    assert_eq!(silent.try_read(&mut byte).expect("closed"), 0);

    // Nor does it delay the shutdown.
    let _silent = TcpStream::connect(desk.grpc).await.expect("connects");
    desk.stop.send_replace(true);
    let ended = timeout(Duration::from_secs(2), desk.served).await;
    ended.expect("ends").expect("no panic");
}

#[test]
fn files_that_do_not_work_are_named() {
    let files = Files::new();
    files.tls(Some("ca.pem")).load().expect("these work");
    let error = |tls: Tls| tls.load().expect_err("must not load");

    let mut missing = files.tls(None);
    missing.cert = files.path("nowhere.pem");
    let e = error(missing);
    assert!(matches!(e, TlsError::Read { .. }), "{e}");
    assert!(e.to_string().contains("nowhere.pem"), "{e}");

    let mut swapped = files.tls(None);
    std::mem::swap(&mut swapped.cert, &mut swapped.key);
    let e = error(swapped);
    assert!(e.to_string().contains("has no certificate in it"), "{e}");

    let mut no_key = files.tls(None);
    no_key.key = files.path("cert.pem");
    let e = error(no_key);
    assert!(e.to_string().contains("no unencrypted private key"), "{e}");

    files.write("other.pem", &KeyPair::generate().expect("a key").serialize_pem());
    let mut other = files.tls(None);
    other.key = files.path("other.pem");
    let e = error(other);
    assert!(matches!(e, TlsError::Mismatch { .. }), "{e}");

    files.write("garbage.pem", "-----BEGIN CERTIFICATE-----\n*\n-----END CERTIFICATE-----\n");
    let e = error(files.tls(Some("garbage.pem")));
    assert!(e.to_string().contains("client authority") && e.to_string().contains("garbage.pem"), "{e}");
}
