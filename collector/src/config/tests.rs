use super::*;

fn problems(text: &str) -> String {
    Config::parse("test.yaml", text, &Overrides::default()).expect_err(text).to_string()
}

#[test]
fn no_file_gives_the_documented_defaults() {
    let config = Config::parse("defaults", "", &Overrides::default()).unwrap();
    assert_eq!(config.data, PathBuf::from("tachograph-data"));
    assert_eq!(config.receive.grpc, "127.0.0.1:4317".parse().ok());
    assert_eq!(config.receive.http, "127.0.0.1:4318".parse().ok());
    assert_eq!(config.admin, "127.0.0.1:9464".parse().ok());
    assert_eq!((config.archive.max_age, config.archive.max_records), (Duration::from_secs(5), u64::MAX));
    assert!(config.receive.tls.is_none() && config.receive.auth.tokens.is_empty());
}

#[test]
fn the_command_line_wins() {
    let overrides =
        Overrides { data: Some("elsewhere".into()), grpc: "127.0.0.1:1".parse().ok(), ..Overrides::default() };
    let config = Config::parse("t", "data: here\nreceive: { grpc: 127.0.0.1:2, http: off }\n", &overrides).unwrap();
    assert_eq!(config.data, PathBuf::from("elsewhere"));
    assert_eq!(config.receive.grpc, "127.0.0.1:1".parse().ok());
    assert_eq!(config.receive.http, None);
}

#[test]
fn sizes_and_durations() {
    let text = "journal: { max_bytes: 1GiB, max_file_bytes: 4MiB }\narchive: { max_age: 90s, max_records: 1000, max_bytes: 64MiB }\n";
    let config = Config::parse("t", text, &Overrides::default()).unwrap();
    assert_eq!((config.journal.max_bytes, config.journal.max_file_bytes), (1 << 30, 4 << 20));
    assert_eq!((config.archive.max_age, config.archive.max_bytes), (Duration::from_secs(90), 64 << 20));
    assert_eq!(config.archive.max_records, 1_000);
}

#[test]
fn mistakes_are_named() {
    assert!(problems("receive: { gprc: 127.0.0.1:1 }").contains("gprc"));
    assert!(problems("receive: { grpc: localhost }").contains("localhost"));
    assert!(problems("archive: { max_age: 5 years }").contains("5 years"));
    assert!(problems("archive: { max_records: 0 }").contains("the least is 1"));
    assert!(problems("receive: { bearer_tokens: [x], bearer_token_file: /x }").contains("exclude each other"));
    assert!(problems("receive: { grpc: off, http: off }").contains("both off"));
    assert!(problems("admin: 127.0.0.1:4317").contains("same address"));
    assert!(problems("duplicates: { retention: 1h }").contains("24h"));
    assert!(problems("archive: { max_records: 0 }").contains("the least is 1"));
    assert!(problems("receive: { bearer_tokens: [\"${env:TACHOGRAPH_NO_SUCH}\"] }").contains("TACHOGRAPH_NO_SUCH"));
    assert!(problems("[1, 2").starts_with("test.yaml: "));
}

#[test]
fn time_stamps() {
    let config = Config::parse("t", "", &Overrides::default()).unwrap().timestamps;
    assert!(config.authorities.is_empty());
    assert_eq!((config.every, config.renew_before), (Duration::from_secs(3_600), Duration::from_secs(30 * 24 * 3_600)));
    let text = "timestamps: { every: 10m, authorities: [{ url: 'https://tsa.example/tsr', ca: tsa.pem, authorization: 'Bearer secret' }] }";
    let config = Config::parse("t", text, &Overrides::default()).unwrap().timestamps;
    assert_eq!(config.authorities[0].ca, Some(PathBuf::from("tsa.pem")));
    assert!(!format!("{config:?}").contains("secret"), "{config:?}");
    for (text, part) in [
        ("timestamps: { authorities: [{ url: tsa.example }] }", "timestamps.authorities[0].url"),
        ("timestamps: { authorities: [{ url: 'ftp://tsa.example' }] }", "http:// or https://"),
        ("timestamps: { authorities: [{ url: 'https://a:b@tsa.example' }] }", "a user or a password"),
        ("timestamps: { authorities: [{ url: 'https://tsa.example', authorization: '' }] }", "authorization"),
        ("timestamps: { authorities: [{}] }", "url"),
        ("timestamps: { every: 10ms }", "timestamps.every"),
        ("timestamps: { evry: 1h }", "evry"),
    ] {
        assert!(problems(text).contains(part), "{part} missing in {}", problems(text));
    }
}

#[test]
fn every_problem_is_reported_at_once() {
    let text = problems("archive: { max_bytes: 1, compression_level: 99 }\njournal: { max_file_bytes: 1 }\n");
    for part in ["archive.max_bytes", "archive.compression_level", "journal.max_file_bytes"] {
        assert!(text.contains(part), "{part} missing in {text}");
    }
}

#[test]
fn keys() {
    let keys = |text: &str| Config::parse("t", text, &Overrides::default()).unwrap().keys;
    let default = keys("");
    assert_eq!((default.signing, default.mac, default.encryption), (KeySource::File { path: None }, None, None));
    assert_eq!(keys("keys: { signing: { file: {} } }").signing, KeySource::File { path: None });
    assert_eq!(keys("keys: { signing: { file: { path: /k } } }").signing, KeySource::File { path: Some("/k".into()) });
    assert_eq!(keys("keys: { mac: { env: MAC } }").mac, Some(KeySource::Env("MAC".to_owned())));
    let encrypted = keys("keys: { encryption: { age_recipient: age1x, age_identity_file: i } }").encryption;
    assert_eq!(encrypted, Some(Encryption::Age { recipient: "age1x".to_owned(), identity_file: "i".into() }));
    for (text, part) in [
        ("keys: { signing: { vault2: {} } }", "vault2"),
        ("keys: { signing: { env: 'PRIVATE+KEY+x' } }", "not its value"),
        ("keys: { encryption: {} }", "keys.encryption is one of"),
        ("keys: { encryption: { age_recipient: age1x } }", "together with age_identity_file"),
        ("keys: { encryption: { passphrase_file: a, passphrase_env: B } }", "is one of"),
    ] {
        assert!(problems(text).contains(part), "{text}: {}", problems(text));
    }
    assert!(!problems("keys: { signing: { env: 'PRIVATE+KEY+x' } }").contains("KEY+x"));
}

#[test]
fn no_error_shows_a_secret() {
    const SECRET: &str = "PRIVATE+KEY+a/b+0123abcd+c2VjcmV0";
    // In the place of everything that is a mapping or a list, or is one of few words, and beside mistakes.
    let written = [
        "keys: { signing: \"SECRET\" }",
        "keys: { mac: SECRET }",
        "keys: { signing: { file: SECRET } }",
        "keys: { signing: { env: SECRET } }",
        "keys: { signing: { aws_kms: SECRET } }",
        "keys: { signing: { env: A, file: { path: SECRET } } }",
        "keys: { encryption: SECRET }",
        "keys: { encryption: { passphrase_env: SECRET } }",
        "keys: SECRET",
        "receive: { bearer_tokens: [SECRET], gprc: off }",
        "receive:\n  bearer_tokens:\n    - SECRET\n  gprc: off\n",
        "timestamps: { authorities: [{ url: tsa.example, authorization: SECRET }] }",
        "receive: { bearer_tokens: [SECRET]",
    ];
    for text in written {
        let said = problems(&text.replace("SECRET", SECRET));
        assert!(!said.contains("c2VjcmV0"), "{text}: {said}");
    }
    assert!(problems("keys: { signing: { env: A, file: {} } }").contains("keys.signing is one of"));
    assert!(problems("keys: { signing: {} }").contains("never a key itself"));
}

#[test]
fn an_error_names_a_variable_and_not_its_value() {
    // The one variable that a test has without setting any.
    let value = std::env::var("PATH").unwrap();
    for text in ["receive: { grpc: \"${env:PATH}\" }", "\"${env:PATH}\": 1", "log: { format: \"${env:PATH}\" }"] {
        let said = problems(text);
        assert!(said.contains("${env:PATH}") && !said.contains(&value), "{text}: {said}");
    }
}
