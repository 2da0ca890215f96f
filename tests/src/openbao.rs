//! A real OpenBao server with its transit engine: a process of its own, which comes with the Python packages of the tests.

use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::http::Connection;
use crate::programs;

const START_TIMEOUT: Duration = Duration::from_secs(60);

/// A server, unsealed, with the keys `ed25519`, `p256` and `mac` in `transit/`; gone when dropped.
#[derive(Debug)]
pub struct OpenBao {
    directory: tempfile::TempDir,
    address: SocketAddr,
    running: Mutex<Option<Running>>,
    unseal_key: String,
    root: String,
}

#[derive(Debug)]
struct Running {
    shell: Child,
    /// The shell kills the server when this closes.
    life_line: Option<ChildStdin>,
}

impl OpenBao {
    /// Starts one.
    ///
    /// # Panics
    /// If it does not start.
    pub fn start() -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let [address, cluster] = [free(), free()];
        let data = directory.path().join("data");
        std::fs::create_dir(&data).expect("a directory");
        let settings = format!(
            "storage \"raft\" {{\n  path = \"{}\"\n  node_id = \"one\"\n}}\n\
             listener \"tcp\" {{\n  address = \"{address}\"\n  tls_disable = true\n}}\n\
             api_addr = \"http://{address}\"\ncluster_addr = \"http://{cluster}\"\n",
            data.display()
        );
        std::fs::write(directory.path().join("server.hcl"), settings).expect("the server's configuration");
        let mut this =
            Self { directory, address, running: Mutex::new(None), unseal_key: String::new(), root: String::new() };
        this.run();
        let made = this.ask("sys/init", "", &json!({ "secret_shares": 1, "secret_threshold": 1 })).1;
        let text = |value: &Value| value.as_str().expect("a text").to_owned();
        (this.unseal_key, this.root) = (text(&made["keys_base64"][0]), text(&made["root_token"]));
        this.unseal();
        this.write("sys/mounts/transit", &json!({ "type": "transit" }));
        this.write("transit/keys/ed25519", &json!({ "type": "ed25519" }));
        this.write("transit/keys/p256", &json!({ "type": "ecdsa-p256" }));
        this.write("transit/keys/mac", &json!({ "type": "hmac", "key_size": 32, "exportable": true }));
        this
    }

    /// Its URL.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// A directory that ends with it.
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// A file with a token that may do what `policy` says, and nothing else.
    ///
    /// # Panics
    /// If it can't be made.
    pub fn token_file(&self, name: &str, policy: &str) -> PathBuf {
        self.write(&format!("sys/policies/acl/{name}"), &json!({ "policy": policy }));
        let made = self.write("auth/token/create", &json!({ "policies": [name], "no_default_policy": true }));
        let path = self.directory.path().join(format!("token-{name}"));
        std::fs::write(&path, format!("{}\n", made["auth"]["client_token"].as_str().expect("a token")))
            .expect("a file with the token");
        path
    }

    /// Writes as its administrator.
    ///
    /// # Panics
    /// If it refuses.
    pub fn write(&self, path: &str, body: &Value) -> Value {
        let (status, answer) = self.ask(path, &self.root, body);
        assert!((200..300).contains(&status), "{path}: {status} {answer}");
        answer
    }

    /// Reads as its administrator.
    ///
    /// # Panics
    /// If it refuses.
    pub fn read(&self, path: &str) -> Value {
        let mut connection = Connection::open(self.address).expect("OpenBao answers");
        let answer = connection.get_with(&format!("/v1/{path}"), &[("x-vault-token", &self.root)]);
        let answer = answer.expect("OpenBao answers");
        assert_eq!(answer.status, 200, "{path}: {}", answer.text());
        serde_json::from_slice(&answer.body).expect("JSON")
    }

    /// Seals it: it answers, and does nothing.
    pub fn seal(&self) {
        self.write("sys/seal", &json!({}));
    }

    /// Unseals it, and waits until it does what it is asked.
    ///
    /// # Panics
    /// If it does not.
    pub fn unseal(&self) {
        self.ask("sys/unseal", "", &json!({ "key": self.unseal_key }));
        let deadline = Instant::now() + START_TIMEOUT;
        // 200 says: unsealed, and the one that leads.
        while crate::http::get(self.address, "/v1/sys/health").status != 200 {
            assert!(Instant::now() < deadline, "OpenBao does not lead: {}", self.log());
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Kills it. What it holds stays.
    pub fn down(&self) {
        *self.running.lock().expect("a lock") = None;
    }

    /// Starts it again where it was, and unseals it.
    pub fn up(&self) {
        self.run();
        self.unseal();
    }

    /// What it said.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.directory.path().join("log")).unwrap_or_default()
    }

    fn run(&self) {
        let log = std::fs::OpenOptions::new().create(true).append(true).open(self.directory.path().join("log"));
        let log = log.expect("a log");
        let program = programs::beside_python("bao");
        let mut shell = Command::new("sh")
            .args(["-c", r#""$0" "$@" </dev/null & read -r _; kill -9 $!"#])
            .arg(program)
            .args(["server", "-config=server.hcl"])
            .current_dir(self.directory.path())
            .stdin(Stdio::piped())
            .stdout(log.try_clone().expect("a log"))
            .stderr(log)
            .spawn()
            .expect("sh");
        let life_line = shell.stdin.take();
        *self.running.lock().expect("a lock") = Some(Running { shell, life_line });
        let deadline = Instant::now() + START_TIMEOUT;
        while Connection::open(self.address).is_err() {
            assert!(Instant::now() < deadline, "OpenBao does not start: {}", self.log());
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    fn ask(&self, path: &str, token: &str, body: &Value) -> (u16, Value) {
        let mut connection = Connection::open(self.address).expect("OpenBao answers");
        let headers = [("content-type", "application/json"), ("x-vault-token", token)];
        let answer = connection.post_with(&format!("/v1/{path}"), &headers, body.to_string().as_bytes());
        let answer = answer.unwrap_or_else(|error| panic!("{path}: {error}: {}", self.log()));
        (answer.status, serde_json::from_slice(&answer.body).unwrap_or_default())
    }
}

fn free() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a free port")
}

impl Drop for Running {
    fn drop(&mut self) {
        drop(self.life_line.take());
        let _ = self.shell.wait();
    }
}
