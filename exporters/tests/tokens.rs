//! Time-stamp tokens: good ones of each kind, and every way in which one is not good. `tests/golden/make_timestamps.py` made them.

use std::path::{Path, PathBuf};
use std::time::Duration;

use tachograph_exporters::timestamp::{MAX_TOKEN_BYTES, Request, Roots, TimestampError, inspect, verify};

const NONCE: u64 = 0x0123_4567_89ab_cdef;

fn golden(name: &str) -> Vec<u8> {
    let path: PathBuf = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/golden/timestamps").join(name);
    std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn roots() -> Roots {
    Roots::from_pem(&golden("root.pem")).unwrap()
}

/// Every token in the golden folder, good or bad.
fn tokens() -> Vec<(String, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/golden/timestamps");
    let names = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.filter(|name| name.ends_with(".tsr")).map(|name| (name.clone(), golden(&name))).collect()
}

#[test]
fn good_tokens_of_every_kind_of_key_are_good() {
    for (name, authority, accuracy) in [
        ("rsa.tsr", "CN=rsa", 1_500_100),
        ("rsa-sha512.tsr", "CN=rsa", 1_500_100),
        ("p256.tsr", "CN=p256", 1_500_100),
        ("p384.tsr", "CN=p384", 1_500_100),
    ] {
        let stamp = verify(&golden(name), &golden("data"), &roots()).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert!(stamp.authority.contains(authority), "{name}: {}", stamp.authority);
        assert_eq!(stamp.accuracy, Duration::from_micros(accuracy), "{name}");
        assert!(stamp.time.to_string().starts_with("2026-"), "{name}: {}", stamp.time);
        assert_eq!(stamp.expires.to_string(), "2126-01-01T00:00:00.000000000Z", "{name}");
        assert_eq!(inspect(&golden(name), &golden("data")), Ok(stamp), "{name}");
    }
}

#[test]
fn a_fraction_of_a_second_counts() {
    let stamp = verify(&golden("p256.tsr"), &golden("data"), &roots()).unwrap();
    assert!(!stamp.time.unix_nanos().is_multiple_of(1_000_000_000), "{}", stamp.time);
    assert!(stamp.time.unix_nanos().is_multiple_of(1_000), "{}", stamp.time);
}

#[test]
fn other_data_is_told_from_damage() {
    let error = verify(&golden("rsa.tsr"), b"other", &roots()).unwrap_err();
    assert!(matches!(error, TimestampError::OtherData { .. }), "{error}");
}

#[test]
fn an_unknown_authority_is_unknown_and_else_good() {
    let other = Roots::from_pem(&golden("other-root.pem")).unwrap();
    for name in ["rsa.tsr", "p256.tsr"] {
        for roots in [&other, &Roots::default()] {
            let error = verify(&golden(name), &golden("data"), roots).unwrap_err();
            assert!(
                matches!(&error, TimestampError::UnknownAuthority { authority } if authority.contains("CN=")),
                "{name}: {error}"
            );
        }
    }
    let mut both = other;
    both.add_pem(&golden("root.pem")).unwrap();
    assert!(verify(&golden("rsa.tsr"), &golden("data"), &both).is_ok());
}

#[test]
fn a_certificate_must_be_valid_when_it_signs() {
    for name in ["expired.tsr", "early.tsr"] {
        let error = verify(&golden(name), &golden("data"), &roots()).unwrap_err();
        assert!(matches!(error, TimestampError::Expired { .. }), "{name}: {error}");
        assert!(matches!(inspect(&golden(name), &golden("data")), Err(TimestampError::Expired { .. })), "{name}");
    }
}

#[test]
fn a_certificate_must_be_for_time_stamping_alone() {
    for name in ["two-purposes.tsr", "other-purpose.tsr", "not-critical.tsr"] {
        let error = verify(&golden(name), &golden("data"), &roots()).unwrap_err();
        assert!(
            matches!(&error, TimestampError::Rejected(what) if what.contains("time stamping alone")),
            "{name}: {error}"
        );
        assert_eq!(inspect(&golden(name), &golden("data")), Err(error));
    }
}

#[test]
fn a_token_must_sign_which_certificate_signed_it() {
    let error = verify(&golden("no-certificate-signed.tsr"), &golden("data"), &roots()).unwrap_err();
    assert!(matches!(&error, TimestampError::Rejected(what) if what.contains("signing-certificate")), "{error}");
}

#[test]
fn a_refusal_is_told_with_its_reason() {
    let error = verify(&golden("refused.tsr"), &golden("data"), &roots()).unwrap_err();
    assert!(matches!(&error, TimestampError::Rejected(what) if what.contains("not supported")), "{error}");
}

#[test]
fn a_request_is_what_openssl_reads_and_takes_its_own_answer_only() {
    let request = Request::new(&golden("data"), NONCE);
    assert_eq!(request.to_der(), golden("query.tsq"));
    assert!(request.check(&golden("rsa.tsr"), Some(&roots())).is_ok());
    assert!(request.check(&golden("rsa.tsr"), None).is_ok());
    let other = Request::new(&golden("data"), NONCE + 1).check(&golden("rsa.tsr"), None).unwrap_err();
    assert!(matches!(&other, TimestampError::Rejected(what) if what.contains("nonce")), "{other}");
    let other = Request::new(b"other", NONCE).check(&golden("rsa.tsr"), None).unwrap_err();
    assert!(matches!(other, TimestampError::OtherData { .. }), "{other}");
    let unknown = Request::new(&golden("data"), NONCE).check(&golden("rsa.tsr"), Some(&Roots::default())).unwrap_err();
    assert!(matches!(unknown, TimestampError::UnknownAuthority { .. }), "{unknown}");
}

/// A bit that is flipped anywhere is found: there is no byte that nothing covers.
#[test]
fn no_flipped_bit_is_good() {
    let (data, roots) = (golden("data"), roots());
    for name in ["rsa.tsr", "p256.tsr", "p384.tsr"] {
        let good = golden(name);
        for at in 0..good.len() {
            for bit in 0..8 {
                let mut token = good.clone();
                token[at] ^= 1 << bit;
                let verified = verify(&token, &data, &roots);
                assert!(verified.is_err(), "{name}: bit {bit} of byte {at} was flipped");
            }
        }
    }
}

#[test]
fn no_part_of_a_token_is_good() {
    for (name, token) in tokens() {
        for end in 0..token.len() {
            assert!(inspect(&token[..end], &golden("data")).is_err(), "{name}: {end} bytes");
        }
        let longer = [token.as_slice(), &[0]].concat();
        assert!(inspect(&longer, &golden("data")).is_err(), "{name}: a byte more");
    }
    let large = vec![0x30; MAX_TOKEN_BYTES as usize + 1];
    assert!(matches!(inspect(&large, b""), Err(TimestampError::Damaged(_))));
}

#[test]
fn a_file_without_certificates_gives_no_roots() {
    for bad in
        [&b""[..], b"no pem", &golden("query.tsq"), b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"]
    {
        assert!(Roots::from_pem(bad).is_err());
    }
}
