//! OTLP over HTTP, as protobuf.

use super::{ANSWER, ASK, Answer, Failure, Settings, with_causes};
use crate::init::InitError;
use crate::queue::Signal;
use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderValue};
use http::{HeaderMap, Method, Request, StatusCode, Uri};
use http_body_util::{BodyExt, Full, Limited};
use hyper_util::client::legacy;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use std::time::Duration;

/// No answer that OTLP knows is nearly as long.
const LONGEST_ANSWER: usize = 64 << 10;

#[cfg(feature = "tls")]
type Connector = hyper_rustls::HttpsConnector<HttpConnector>;
#[cfg(not(feature = "tls"))]
type Connector = HttpConnector;

pub(super) struct Client {
    client: legacy::Client<Connector, Full<Bytes>>,
    address: Uri,
    logs_address: Uri,
    headers: HeaderMap,
    timeout: Duration,
    #[cfg(feature = "gzip")]
    gzip: bool,
}

impl Client {
    pub(super) fn new(settings: Settings, ask_for_receipts: bool) -> Result<Self, InitError> {
        let address = parsed(&settings, &settings.endpoint)?;
        let logs_address = parsed(&settings, &settings.logs_endpoint)?;
        let client = legacy::Client::builder(TokioExecutor::new()).build(connector(&settings)?);
        let mut headers = settings.headers;
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-protobuf"));
        #[cfg(feature = "gzip")]
        if settings.gzip {
            headers.insert(http::header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        }
        if ask_for_receipts {
            headers.insert(ASK, HeaderValue::from_static("1"));
        }
        Ok(Self {
            client,
            address,
            logs_address,
            headers,
            timeout: settings.timeout,
            #[cfg(feature = "gzip")]
            gzip: settings.gzip,
        })
    }

    pub(super) async fn send(&self, body: Bytes, signal: Signal) -> Result<Answer, Failure> {
        match tokio::time::timeout(self.timeout, self.exchange(body, signal)).await {
            Ok(outcome) => outcome,
            Err(_) => Err(Failure::Later(format!("no answer within {:?}", self.timeout))),
        }
    }

    async fn exchange(&self, body: Bytes, signal: Signal) -> Result<Answer, Failure> {
        #[cfg(feature = "gzip")]
        let body = if self.gzip { compressed(&body)? } else { body };
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = Method::POST;
        let address = match signal {
            Signal::Span => &self.address,
            Signal::Log => &self.logs_address,
        };
        *request.uri_mut() = address.clone();
        *request.headers_mut() = self.headers.clone();
        let answer = self
            .client
            .request(request)
            .await
            .map_err(|error| Failure::Later(with_causes(error.to_string(), &error)))?;
        let status = answer.status();
        if !status.is_success() {
            return Err(judge(status, answer.headers()));
        }
        let receipt = answer.headers().get(ANSWER).and_then(|answer| answer.to_str().ok()).map(ToOwned::to_owned);
        let body = Limited::new(answer.into_body(), LONGEST_ANSWER)
            .collect()
            .await
            .map_err(|error| Failure::Later(format!("the answer broke off: {error}")))?;
        Ok(Answer { body: body.to_bytes(), receipt })
    }
}

fn parsed(settings: &Settings, address: &str) -> Result<Uri, InitError> {
    let uri: Uri =
        address.parse().map_err(|error: http::uri::InvalidUri| settings.wrong_endpoint(error.to_string()))?;
    if uri.host().is_none_or(str::is_empty) {
        return Err(settings.wrong_endpoint("it names no host".to_owned()));
    }
    Ok(uri)
}

/// What the receiver says beside the status may echo a token, and is left out. That a request is wrong counts only from an OTLP
/// receiver, which answers in the request's form; from a proxy, or a port that wants TLS, it says nothing about the records.
fn judge(status: StatusCode, headers: &HeaderMap) -> Failure {
    let reason = format!("export failed with HTTP status {status}");
    match status {
        StatusCode::PAYLOAD_TOO_LARGE => Failure::Refused(reason),
        StatusCode::BAD_REQUEST | StatusCode::UNPROCESSABLE_ENTITY if is_protobuf(headers) => Failure::Refused(reason),
        StatusCode::BAD_REQUEST | StatusCode::UNPROCESSABLE_ENTITY => {
            Failure::Later(format!("{reason}, and not by an OTLP receiver: check the endpoint"))
        }
        StatusCode::TOO_MANY_REQUESTS => Failure::Full(reason),
        _ => Failure::Later(reason),
    }
}

fn is_protobuf(headers: &HeaderMap) -> bool {
    let form = headers.get(CONTENT_TYPE).and_then(|form| form.to_str().ok()).and_then(|form| form.split(';').next());
    form.is_some_and(|form| form.trim().eq_ignore_ascii_case("application/x-protobuf"))
}

#[cfg(not(feature = "tls"))]
#[expect(clippy::unnecessary_wraps, reason = "with TLS it can fail")]
fn connector(_settings: &Settings) -> Result<Connector, InitError> {
    Ok(HttpConnector::new())
}

#[cfg(feature = "tls")]
fn connector(settings: &Settings) -> Result<Connector, InitError> {
    use hyper_rustls::ConfigBuilderExt;
    use rustls::pki_types::CertificateDer;
    use rustls::pki_types::pem::PemObject;
    let provider = std::sync::Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| settings.wrong_endpoint(error.to_string()))?;
    let config = match settings.certificate()? {
        Some(pem) => {
            let mut roots = rustls::RootCertStore::empty();
            for certificate in CertificateDer::pem_slice_iter(&pem) {
                let added = certificate
                    .map_err(|error| error.to_string())
                    .and_then(|certificate| roots.add(certificate).map_err(|error| error.to_string()));
                added.map_err(|error| settings.wrong_endpoint(format!("its certificate: {error}")))?;
            }
            config.with_root_certificates(roots)
        }
        None if settings.is_https() => {
            config.with_native_roots().map_err(|error| settings.wrong_endpoint(error.to_string()))?
        }
        None => config.with_root_certificates(rustls::RootCertStore::empty()),
    };
    let config = config.with_no_client_auth();
    Ok(hyper_rustls::HttpsConnectorBuilder::new().with_tls_config(config).https_or_http().enable_http1().build())
}

#[cfg(feature = "gzip")]
fn compressed(body: &[u8]) -> Result<Bytes, Failure> {
    use std::io::Write;
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    let written = gzip.write_all(body).and_then(|()| gzip.finish());
    written.map(Bytes::from).map_err(|error| Failure::Later(format!("compression: {error}")))
}
