//! AWS KMS for tests: moto's, a real server of the same interface; and for what moto lacks a double, `tests/python/kms_double.py`.

use std::net::SocketAddr;
use std::process::Command;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::http::Connection;
use crate::minio::Minio;
use crate::programs;
use crate::weak_store::WeakStore;

/// A server, which keeps all in memory and lets everybody in.
#[derive(Debug)]
pub struct Kms {
    server: WeakStore,
}

impl Kms {
    /// moto's.
    ///
    /// # Panics
    /// If it does not start.
    pub fn moto() -> Self {
        Self { server: WeakStore::moto() }
    }

    /// The double: Ed25519 keys, and digests that are signed as they are.
    ///
    /// # Panics
    /// If it does not start.
    pub fn double() -> Self {
        Self {
            server: WeakStore::of(|address| {
                let mut command = programs::python("kms_double.py");
                command.arg(address.port().to_string());
                command
            }),
        }
    }

    /// Where it answers.
    pub fn endpoint(&self) -> String {
        self.server.endpoint()
    }

    /// Its address.
    ///
    /// # Panics
    /// Never.
    pub fn address(&self) -> SocketAddr {
        self.endpoint().trim_start_matches("http://").parse().expect("an address")
    }

    /// Makes a key; gives its ARN.
    ///
    /// # Panics
    /// If it refuses.
    pub fn make(&self, spec: &str, usage: &str) -> String {
        let made = self.ask("CreateKey", &json!({ "KeySpec": spec, "KeyUsage": usage }));
        made["KeyMetadata"]["Arn"].as_str().expect("an ARN").to_owned()
    }

    /// A MAC of its own, not through the SDK.
    ///
    /// # Panics
    /// If it refuses.
    pub fn mac(&self, key: &str, message: &[u8]) -> Vec<u8> {
        let asked = json!({ "KeyId": key, "Message": STANDARD.encode(message), "MacAlgorithm": "HMAC_SHA_256" });
        STANDARD.decode(self.ask("GenerateMac", &asked)["Mac"].as_str().expect("a MAC")).expect("base64")
    }

    /// Asks it for anything.
    ///
    /// # Panics
    /// If it refuses.
    pub fn ask(&self, action: &str, body: &Value) -> Value {
        let target = format!("TrentService.{action}");
        let headers = [
            ("content-type", "application/x-amz-json-1.1"),
            ("x-amz-target", &target),
            // moto lets in whoever says who it is.
            ("authorization", "AWS4-HMAC-SHA256 Credential=x/20261127/us-east-1/kms/aws4_request"),
        ];
        let asked = Connection::open(self.address())
            .and_then(|mut connection| connection.post_with("/", &headers, body.to_string().as_bytes()));
        let answer = asked.expect("KMS answers");
        assert_eq!(answer.status, 200, "{action}: {}", answer.text());
        serde_json::from_slice(&answer.body).expect("JSON")
    }

    /// Puts what lets a program in into its environment.
    pub fn let_in(command: &mut Command) {
        command.envs(Minio::environment());
    }
}
