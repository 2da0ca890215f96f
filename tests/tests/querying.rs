//! The pages under `docs/` against the program: every query runs in real DuckDB on what the example programs recorded, every
//! step of the verification without our software runs with the tools that it names, and the tables of settings and metrics say
//! what the code says.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::LazyLock;

use serde_json::Value;
use tachograph_exporters::verify::Axis;
use tachograph_tests::collector::Starting;
use tachograph_tests::command::Verified;
use tachograph_tests::home::Home;
use tachograph_tests::minio::Minio;
use tachograph_tests::{command, programs};

const CONFIG: &str = "archive: { max_age: 300ms }\n";

/// A ledger that all tests here read: the four stories, some odd records, a collector that was started and stopped.
static LEDGER: LazyLock<Home> = LazyLock::new(|| record("querying", CONFIG));

/// The same records in a bucket, in several retention classes. Bucket and prefix are those that the pages name.
fn in_bucket() -> (Minio, Home) {
    let server = Minio::start();
    let (endpoint, mut init) = (server.endpoint(), programs::command());
    init.args(["bucket", "init", "--bucket", "s3://acme-ai-audit/prod", "--endpoint", &endpoint]);
    run(init.envs(Minio::environment()).stdin(Stdio::null()));
    let config = format!(
        "\
archive:
  max_age: 300ms
  s3: {{ bucket: acme-ai-audit, prefix: prod/, endpoint: '{endpoint}', region: us-east-1, mode: compliance }}
  retention:
    default: 1d
    classes:
      - {{ name: prompts, when: \"kind == 'generation'\", keep: 2d }}
      - {{ name: decisions, when: \"kind == 'agent_decision'\", keep: 3d }}
"
    );
    let home = record("querying-s3", &config);
    (server, home)
}

fn record(name: &str, config: &str) -> Home {
    let root = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let _ = std::fs::remove_dir_all(&root);
    std::fs::create_dir_all(&root).expect("a directory for the ledger");
    let home = Home::within(&root, config);
    let mut tachograph = programs::command();
    tachograph.arg("run").arg("--json").arg("--config").arg(home.config()).arg("--data").arg(home.data());
    for port in ["--grpc", "--http", "--admin"] {
        tachograph.args([port, "127.0.0.1:0"]);
    }
    tachograph.envs(Minio::environment());
    let collector = Starting::spawn(tachograph, &home.log()).ready();
    for name in ["image_service", "credit_decision", "trading_pipeline", "prompt_log"] {
        let mut example = Command::new(programs::example(name));
        example.env("OTEL_EXPORTER_OTLP_ENDPOINT", format!("http://{}", collector.grpc));
        example.args(if name == "trading_pipeline" { ["--count", "3"] } else { ["--count", "1"] });
        run(example.arg("--out").arg(root.join("images")));
        // A segment, a commit and a checkpoint for each.
        collector.wait_archived();
    }
    run(programs::python("querying.py").arg("send").arg(collector.http.to_string()));
    collector.stop();
    home
}

fn docs() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs")
}

fn page(name: &str) -> String {
    let path = docs().join(name);
    std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

fn work(name: &str) -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join(name)
}

#[track_caller]
fn run(command: &mut Command) {
    let output = command.output().unwrap_or_else(|e| panic!("{command:?}: {e}"));
    let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{command:?} ended with {}\n{stdout}\n{stderr}", output.status);
}

#[test]
fn every_query_answers_as_its_page_says() {
    run(programs::python("querying.py").arg("queries").arg(LEDGER.archive()).arg(docs()));
}

/// One test: the last part hides an object of the bucket that the others read.
#[test]
fn every_query_answers_over_s3_as_over_the_directory() {
    let (server, home) = in_bucket();
    run(in_s3("queries_s3", &server).stdin(Stdio::null()));
    run(in_s3("shell_s3", &server).stdin(Stdio::null()));
    what_is_hidden_is_not_there_for_duckdb(&server, &home);
}

/// DuckDB can't tell what is behind a delete marker from what is lost; the verifier can.
fn what_is_hidden_is_not_there_for_duckdb(server: &Minio, home: &Home) {
    verify(server, home).expect_clean();
    let mut hider = in_s3("hidden_s3", server).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("Python");
    let mut path = String::new();
    let mut said = BufReader::new(hider.stdout.take().expect("a pipe"));
    said.read_line(&mut path).expect("a path");
    let (path, verified) = (path.trim(), verify(server, home));
    let released = hider.stdin.take().expect("a pipe").write_all(b"seen\n");
    let status = hider.wait().expect("Python");
    assert!(released.is_ok() && status.success(), "{released:?}, {status}, {path:?}; what it said stands above");
    assert!(path.starts_with("records/class=prompts/"), "{path:?}");
    assert_eq!((verified.code, verified.verdict(Axis::Storage)), (1, "fail"), "{:#}", verified.report);
    assert_eq!(verified.verdict(Axis::Integrity), "pass", "{:#}", verified.report);
    let findings = verified.report["findings"].as_array().cloned().unwrap_or_default();
    assert!(findings.iter().any(|finding| finding.to_string().contains(path)), "{:#}", verified.report);
    verify(server, home).expect_clean();
}

fn verify(server: &Minio, home: &Home) -> Verified {
    let url = format!("s3://acme-ai-audit/prod?endpoint={}&region=us-east-1", server.endpoint());
    let data = home.data();
    let mut command = programs::command();
    command.args(["verify", &url, "--json", "--key"]).arg(data.join("ledger.vkey"));
    command.arg("--mac-key").arg(data.join("mac-escrow.key")).arg("--checkpoint").arg(data.join("checkpoint"));
    let output = command.envs(Minio::environment()).output().expect("tachograph");
    Verified {
        code: output.status.code().unwrap_or(-1),
        report: serde_json::from_slice(&output.stdout).unwrap_or(Value::Null),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

fn in_s3(what: &str, server: &Minio) -> Command {
    let mut command = programs::python("querying.py");
    command.arg(what).arg(server.endpoint()).arg(docs()).envs(Minio::environment());
    command
}

#[test]
fn a_stranger_can_verify_without_our_software() {
    command::expect_verified(&LEDGER.data());
    run(programs::python("verifying.py").arg("visit").arg(LEDGER.data()).arg(docs()).arg(work("visit")));
}

#[test]
fn a_stranger_finds_what_was_changed() {
    run(programs::python("verifying.py").arg("forged").arg(LEDGER.data()).arg(docs()).arg(work("forged")));
}

#[test]
fn a_stranger_can_verify_what_retention_left() {
    let ledger = Path::new(env!("CARGO_MANIFEST_DIR")).join("golden/archive-v2");
    run(programs::python("verifying.py").arg("retained").arg(ledger).arg(docs()).arg(work("retained")));
}

/// The rows of the first table under a heading, each as its cells.
fn table(page: &str, heading: &str) -> Vec<Vec<String>> {
    let after = page.split_once(&format!("\n{heading}\n")).unwrap_or_else(|| panic!("no heading {heading:?}")).1;
    let rows = after.lines().skip_while(|line| !line.starts_with('|')).take_while(|line| line.starts_with('|'));
    let rows: Vec<Vec<String>> = rows
        .skip(2)
        .map(|row| row.trim_matches('|').split(" | ").map(|cell| cell.trim().to_owned()).collect())
        .collect();
    assert!(!rows.is_empty(), "no table under {heading:?}");
    rows
}

/// What stands between the first two backticks.
fn code(cell: &str) -> &str {
    cell.split('`').nth(1).unwrap_or_else(|| panic!("no `code` in {cell:?}"))
}

mod settings {
    use super::{code, page, table};
    use std::collections::{BTreeMap, BTreeSet};
    use tachograph_collector::config::{Config, Overrides};
    use tachograph_collector::retention::Class;

    /// Keys without which their group is refused.
    const NEEDED: [(&str, &str); 4] = [
        ("archive.retention.default", "1d"),
        ("archive.s3.bucket", "some-bucket"),
        ("archive.s3.mode", "governance"),
        ("witnesses.policy", concat!(env!("CARGO_MANIFEST_DIR"), "/golden/witnesses.policy")),
    ];

    /// Each documented key with its documented default, if it has one, and an example otherwise.
    fn documented() -> Vec<(String, Option<String>, Option<String>)> {
        let page = page("operating.md");
        let rows = table(&page, "### Every key");
        let value = |cell: &String| cell.contains('`').then(|| code(cell).to_owned());
        rows.iter().map(|row| (code(&row[0]).to_owned(), value(&row[1]), value(&row[2]))).collect()
    }

    /// A file with a key, and beside it what such a file can't be without.
    fn yaml(key: &str, value: &str) -> String {
        let mut keys = needed_by(key);
        keys.insert(key, value);
        lines(&keys)
    }

    fn needed_by(key: &str) -> BTreeMap<&str, &str> {
        let s3 = key.starts_with("archive.s3.");
        let groups: &[&str] = match key {
            _ if s3 => &["archive.retention.", "archive.s3."],
            _ if key.starts_with("archive.retention.") => &["archive.retention."],
            _ if key.starts_with("witnesses.") => &["witnesses."],
            _ => &[],
        };
        NEEDED.into_iter().filter(|(key, _)| groups.iter().any(|group| key.starts_with(group))).collect()
    }

    fn lines(keys: &BTreeMap<&str, &str>) -> String {
        let (mut text, mut before) = (String::new(), Vec::new());
        for (key, value) in keys {
            let parts: Vec<&str> = key.split('.').collect();
            let shared = parts.iter().zip(&before).take_while(|(part, before)| part == before).count();
            for (depth, part) in parts.iter().enumerate().skip(shared) {
                let end = if depth + 1 == parts.len() { format!(" {value}") } else { String::new() };
                text.push_str(&format!("{}{part}:{end}\n", "  ".repeat(depth)));
            }
            before = parts;
        }
        text
    }

    fn parse(text: &str) -> Result<String, String> {
        let parsed = Config::parse("operating.md", text, &Overrides::default());
        parsed.map(|config| format!("{config:?}")).map_err(|error| error.to_string())
    }

    #[test]
    fn each_default_is_what_the_program_takes_without_the_key() {
        for (key, default, _) in documented() {
            let Some(default) = default else { continue };
            let without = parse(&lines(&needed_by(&key))).expect("a good file");
            let with = parse(&yaml(&key, &default)).unwrap_or_else(|error| panic!("{key}: {default}: {error}"));
            assert_eq!(with, without, "{key}: {default} is not the default");
        }
    }

    #[test]
    fn each_example_changes_something() {
        for (key, default, example) in documented() {
            let without = parse(&lines(&needed_by(&key))).expect("a good file");
            let example = example.unwrap_or_else(|| panic!("{key} has no example"));
            assert_ne!(Some(&example), default.as_ref(), "{key}: the example is the default");
            let outcome = match key.as_str() {
                // These stand together or not at all, and name files.
                "receive.tls.cert" | "receive.tls.key" | "receive.tls.client_ca" => {
                    parse("receive: { tls: { cert: c.pem, key: k.pem, client_ca: ca.pem } }\n")
                }
                "receive.bearer_token_file" => {
                    let file = super::work("tokens");
                    std::fs::write(&file, "secret\n").expect("a token file");
                    parse(&yaml(&key, &file.display().to_string()))
                }
                "witnesses.policy" => {
                    let policy = std::fs::read_to_string(NEEDED[3].1).expect("a policy").replace("few 2", "few 3");
                    let file = super::work("policy");
                    std::fs::write(&file, policy).expect("a policy");
                    parse(&yaml(&key, &file.display().to_string()))
                }
                // It names a file of certificates, which must be there.
                "witnesses.authorities" => {
                    let error = parse(&yaml(&key, &example)).expect_err("no such file");
                    assert!(error.contains(&format!("witnesses.authorities: {example}")), "{error}");
                    continue;
                }
                // These stand together.
                "keys.encryption.age_recipient" => parse(&format!(
                    "keys: {{ encryption: {{ age_recipient: {example}, age_identity_file: identity }} }}\n"
                )),
                "keys.encryption.age_identity_file" => {
                    const RECIPIENT: &str = "age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p";
                    parse(&format!(
                        "keys: {{ encryption: {{ age_recipient: {RECIPIENT}, age_identity_file: {example} }} }}\n"
                    ))
                }
                _ => parse(&yaml(&key, &example)),
            };
            assert_ne!(
                outcome.unwrap_or_else(|error| panic!("{key}: {example}: {error}")),
                without,
                "{key} changes nothing"
            );
        }
    }

    /// An unknown key's error lists the known ones: the page must have exactly these.
    #[test]
    fn no_key_is_missing_from_the_page() {
        let documented: BTreeSet<String> = documented().into_iter().map(|(key, ..)| key).collect();
        let groups: BTreeSet<String> =
            documented.iter().filter_map(|key| Some(key.rsplit_once('.')?.0.to_owned())).collect();
        for group in std::iter::once(String::new()).chain(groups.iter().cloned()) {
            let within = |name: &str| if group.is_empty() { name.to_owned() } else { format!("{group}.{name}") };
            let error = parse(&yaml(&within("no_such_key"), "1")).expect_err("an unknown key");
            assert!(error.contains("no_such_key"), "the error does not name the key: {error}");
            let known = error.split_once(", expected ").unwrap_or_else(|| panic!("no list of keys in: {error}")).1;
            let known =
                known.split(['\n', '(']).next().and_then(|known| known.split(" at line ").next()).unwrap_or_default();
            let known = known.strip_prefix("one of ").unwrap_or(known).replace(" or ", ", ");
            let known: BTreeSet<String> = known.split(", ").map(|key| within(key.trim_matches('`'))).collect();
            let here = documented.iter().chain(&groups).filter(|key| match key.rsplit_once('.') {
                Some((parent, _)) => parent == group,
                None => group.is_empty(),
            });
            assert_eq!(here.cloned().collect::<BTreeSet<_>>(), known, "keys of {group:?}");
        }
    }

    #[test]
    fn the_example_files_are_good() {
        let page = page("operating.md");
        let blocks = page.split("```yaml\n").skip(1).filter_map(|rest| rest.split("```").next());
        let files: Vec<&str> = blocks.filter(|block| block.starts_with("data:")).collect();
        assert_eq!(files.len(), 2);
        for file in files {
            let file = file.replace("${env:AUDIT_TOKEN}", "secret");
            parse(&file).unwrap_or_else(|error| panic!("{error}\n{file}"));
        }
    }

    #[test]
    fn the_example_expressions_are_good() {
        let page = page("operating.md");
        let block =
            page.split("```text\n").find(|block| block.starts_with("kind == ")).expect("a block of expressions");
        let expressions: Vec<&str> = block.split("```").next().unwrap_or_default().lines().collect();
        assert!(expressions.len() >= 5, "{expressions:?}");
        for expression in expressions {
            Class::new("example", expression).unwrap_or_else(|error| panic!("{expression}: {error}"));
        }
    }
}

mod metrics {
    use super::{code, page, table};
    use std::collections::BTreeMap;
    use std::sync::Arc;
    use tachograph_collector::observe::Metrics;
    use tachograph_collector::receive::ReceiveMetrics;
    use tachograph_collector::witness::WitnessMetrics;

    /// Everything that a collector ever shows.
    fn rendered() -> String {
        let metrics = Metrics::default();
        metrics.witness.set(Arc::new(WitnessMetrics::new(["w1".to_owned()]))).expect("nothing was set before");
        metrics.render(&ReceiveMetrics::default(), true, 0)
    }

    #[test]
    fn the_page_lists_them_all_with_their_kind() {
        let rendered = rendered();
        let types = rendered.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' '));
        let known: BTreeMap<String, String> = types.map(|(name, kind)| (name.to_owned(), kind.to_owned())).collect();
        assert!(known.len() > 20, "{known:?}");
        let page = page("operating.md");
        let rows = table(&page, "### Metrics");
        let documented: BTreeMap<String, String> = rows
            .iter()
            .map(|row| (code(&row[0]).split('{').next().unwrap_or_default().to_owned(), row[1].clone()))
            .collect();
        assert_eq!(documented, known);
    }

    #[test]
    fn alert_rules_name_metrics_that_exist() {
        let rendered = rendered();
        let page = page("operating.md");
        let rules = page.split("```yaml\n").find(|block| block.starts_with("groups:")).expect("alert rules");
        let rules = rules.split("```").next().unwrap_or_default();
        let words = rules.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
        let names: Vec<&str> = words.filter(|word| word.starts_with("tachograph_")).collect();
        assert!(names.len() >= 5, "{names:?}");
        for name in names {
            assert!(
                rendered.contains(&format!("\n{name} ")) || rendered.contains(&format!("\n{name}{{")),
                "no metric {name}"
            );
        }
    }
}
