//! What an answer of the store means, and what to do about it.

use std::error::Error;
use std::time::Duration;

use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_s3::config::http::HttpResponse;
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};

use super::{Encryption, S3Settings};
use crate::archive::store::{ErrorKind, StoreError};

/// What a message ends with if the same will be asked again.
pub(super) const TRIED_AGAIN: &str = " Nothing is lost, and it is tried again";

/// One request that did not succeed.
#[derive(Clone, Debug)]
pub struct Failure {
    /// For whoever must act.
    pub error: StoreError,
    /// HTTP status of the answer; `None` if there was none.
    pub status: Option<u16>,
    /// The store's code, such as `AccessDenied`; empty if there was none.
    pub code: String,
    /// When the store asked to be asked again.
    pub retry_after: Option<Duration>,
    /// Whether the same request may succeed later.
    pub retry: bool,
    /// Whether it may have taken effect all the same.
    pub in_doubt: bool,
}

/// What no policy of ours grants.
const OF_ADMINISTRATORS: [&str; 3] = ["s3:CreateBucket", "s3:PutBucket", "s3:PutEncryptionConfiguration"];

/// What was asked for, for messages: the permission that it needs, and of what.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    /// An IAM action, such as `s3:PutObject`.
    pub action: &'static str,
    /// The key, or empty for the bucket.
    pub key: &'a str,
}

impl Failure {
    /// Whether the store said that there is no such object or version.
    pub fn is_not_found(&self) -> bool {
        self.error.kind == ErrorKind::NotFound
    }

    fn new(settings: &S3Settings, asked: Asked<'_>, kind: ErrorKind, what: impl std::fmt::Display) -> Self {
        let place = match asked.key {
            "" => settings.place(),
            key => format!("s3://{}/{key}", settings.bucket),
        };
        let error = StoreError::new(kind, place, what);
        Self { error, status: None, code: String::new(), retry_after: None, retry: false, in_doubt: false }
    }
}

/// Sorts an SDK error.
pub fn failure<E>(settings: &S3Settings, asked: Asked<'_>, error: &SdkError<E, HttpResponse>) -> Failure
where
    E: ProvideErrorMetadata + Error + 'static,
{
    if let SdkError::ServiceError(context) = error {
        return answered(settings, asked, context.err(), context.raw());
    }
    if let SdkError::ResponseError(context) = error
        && context.raw().status().as_u16() < 500
        && context.raw().status().as_u16() >= 300
    {
        // An answer without the body that a HEAD never has.
        return by_status(settings, asked, context.raw(), "", "");
    }
    let text = chain(error);
    match of_credentials(error) {
        Some(CredentialsError::CredentialsNotLoaded(_) | CredentialsError::InvalidConfiguration(_)) => {
            let what = format!(
                "no AWS credentials: {text}; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY or AWS_PROFILE, or give this machine a role"
            );
            return Failure::new(settings, asked, ErrorKind::Denied, what);
        }
        // There is somebody to ask for them, who does not answer or refuses for now.
        Some(_) => {
            let what = format!("no AWS credentials for now: {text}.{TRIED_AGAIN}");
            let failure = Failure::new(settings, asked, ErrorKind::Unavailable, what);
            return Failure { retry: true, ..failure };
        }
        None => {}
    }
    match error {
        SdkError::ConstructionFailure(_) => {
            Failure::new(settings, asked, ErrorKind::Misplaced, format!("the request can't be made: {text}"))
        }
        SdkError::TimeoutError(_) => no_answer(settings, asked, "not in time"),
        _ => no_answer(settings, asked, &text),
    }
}

/// The store did not answer; whether it did what it was asked is not known.
pub(super) fn no_answer(settings: &S3Settings, asked: Asked<'_>, why: &str) -> Failure {
    let what = format!("no answer: {why}; check network, DNS and archive.s3.endpoint.{TRIED_AGAIN}");
    let failure = Failure::new(settings, asked, ErrorKind::Unavailable, what);
    Failure { retry: true, in_doubt: true, ..failure }
}

/// Why there are no credentials, if that is the cause.
fn of_credentials<'e>(error: &'e (dyn Error + 'static)) -> Option<&'e CredentialsError> {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if let Some(found) = error.downcast_ref() {
            return Some(found);
        }
        cause = error.source();
    }
    None
}

fn answered(settings: &S3Settings, asked: Asked<'_>, error: &impl ProvideErrorMetadata, raw: &HttpResponse) -> Failure {
    by_status(settings, asked, raw, error.code().unwrap_or_default(), error.message().unwrap_or_default())
}

fn by_status(settings: &S3Settings, asked: Asked<'_>, raw: &HttpResponse, code: &str, message: &str) -> Failure {
    let status = raw.status().as_u16();
    let said = match (code, message) {
        ("", _) => format!("status {status}"),
        (code, "") => format!("{code} (status {status})"),
        (code, message) => format!("{code} (status {status}): {message}"),
    };
    let region = raw.headers().get("x-amz-bucket-region");
    let seconds = raw.headers().get("retry-after").and_then(|seconds| seconds.trim().parse::<u64>().ok());
    let bucket = &settings.bucket;
    let (kind, what, retry) = match (status, code) {
        (412, _) => (ErrorKind::AlreadyExists, "an object is never written twice".to_owned(), false),
        (400..=404, code) if is_of_key(code) => {
            let key = match &settings.encryption {
                Encryption::SseKms(Some(key)) => format!("the key {key} (archive.s3.kms_key)"),
                _ => "its key".to_owned(),
            };
            (ErrorKind::Misplaced, format!("the store can't encrypt with {key}: {said}"), false)
        }
        (404, "NoSuchBucket") => (
            ErrorKind::Misplaced,
            format!("there is no bucket {bucket}; create it with `tachograph bucket init`, or check archive.s3.bucket"),
            false,
        ),
        (404, _) => (ErrorKind::NotFound, "there is no such object; check bucket and prefix".to_owned(), false),
        (301 | 307 | 308, _) | (400, "AuthorizationHeaderMalformed" | "IllegalLocationConstraintException") => {
            let right = region.map_or(String::new(), |region| format!(" to {region}"));
            (
                ErrorKind::Misplaced,
                format!("the bucket is in another region; set archive.s3.region{right} ({said})"),
                false,
            )
        }
        (_, "RequestTimeTooSkewed" | "RequestExpired") => (
            ErrorKind::Unavailable,
            format!(
                "this machine's clock is minutes off the store's; mend it, with chrony or ntpd ({said}).{TRIED_AGAIN}"
            ),
            true,
        ),
        (409, "InvalidBucketState") => {
            (ErrorKind::Misplaced, format!("the bucket does not take {}: {said}", asked.action), false)
        }
        (501, _) | (405, _) => (ErrorKind::Misplaced, format!("the store can't do {} ({said})", asked.action), false),
        (_, "ExpiredToken" | "ExpiredTokenException" | "RequestTimeout" | "OperationAborted")
        | (409 | 429 | 500.., _) => {
            (ErrorKind::Unavailable, format!("the store asks to come back later ({said}).{TRIED_AGAIN}"), true)
        }
        (401 | 403, "InvalidAccessKeyId" | "SignatureDoesNotMatch" | "InvalidToken") => (
            ErrorKind::Denied,
            format!(
                "the store does not know these AWS credentials; check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY ({said})"
            ),
            false,
        ),
        (401 | 403, _) => {
            let of = if asked.key.is_empty() { String::new() } else { format!("/{}*", settings.prefix) };
            let remedy = match OF_ADMINISTRATORS.iter().any(|action| asked.action.starts_with(action)) {
                true => "ask whoever makes buckets in this account",
                false => "`tachograph bucket policies` prints what to grant",
            };
            (
                ErrorKind::Denied,
                format!("missing permission {} on arn:aws:s3:::{bucket}{of}; {remedy} ({said})", asked.action),
                false,
            )
        }
        (200..=299, "") => {
            (ErrorKind::Misplaced, format!("the answer to {} can't be read ({said})", asked.action), false)
        }
        _ => (ErrorKind::Misplaced, format!("the store refuses {}: {said}", asked.action), false),
    };
    let failure = Failure::new(settings, asked, kind, what);
    Failure {
        status: Some(status),
        code: code.to_owned(),
        retry_after: seconds.map(Duration::from_secs),
        retry,
        // A store may fail behind the write.
        in_doubt: status >= 500,
        ..failure
    }
}

/// Whether the trouble is with a key for encryption, and not for a while only. Stores give these codes as their key servers do.
fn is_of_key(code: &str) -> bool {
    let code = code.to_ascii_lowercase();
    code.starts_with("kms") && !code.contains("throttl")
}

/// An error and its causes, in one line.
fn chain(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let said = error.to_string();
        if !text.ends_with(&said) {
            text.push_str(": ");
            text.push_str(&said);
        }
        cause = error.source();
    }
    text.chars().take(500).collect()
}
