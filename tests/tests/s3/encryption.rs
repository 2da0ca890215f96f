//! Objects are encrypted as the configuration says, with the key that it names.

use tachograph_tests::bucket::{Bucket, Mode, PREFIX};
use tachograph_tests::home::Home;
use tachograph_tests::minio::{KMS_KEY, Minio};
use tachograph_tests::otlp::Events;
use tachograph_tests::seed::Random;

use crate::scene::{expect_verified, send};

#[test]
fn the_store_encrypts_as_it_is_told() {
    let server = Minio::start_with_key();
    let kms = format!("sse-kms, kms_key: {KMS_KEY}");
    for (setting, algorithm, key) in [("sse-s3", "AES256", None), (&kms, "aws:kms", Some(KMS_KEY))] {
        let bucket = Bucket::make(&server, Mode::Compliance);
        let config = bucket.config().replace("mode:", &format!("encryption: {setting}, mode:"));
        let home = Home::in_s3(&config);
        let collector = home.start();
        send(&collector, &Events::new(&mut Random::of_test("encryption")).generations(10).1);
        collector.stop();
        for path in ["leaves/", "records/", "commit/", "checkpoint/", "ledger.json"].map(|folder| bucket.newest(folder))
        {
            let head = bucket.ask(|client, bucket| async move {
                client.head_object().bucket(bucket).key(format!("{PREFIX}{path}")).send().await.expect("it is there")
            });
            assert_eq!(head.server_side_encryption().map(|found| found.as_str()), Some(algorithm), "{head:?}");
            let named = head.ssekms_key_id().is_some_and(|id| key.is_some_and(|key| id.ends_with(key)));
            assert_eq!(named, key.is_some(), "{head:?}");
        }
        expect_verified(&home, &bucket);
    }
    // A key that the store has not is told before anything is taken.
    let bucket = Bucket::make(&server, Mode::Compliance);
    let config = bucket.config().replace("mode:", "encryption: sse-kms, kms_key: nobodys-key, mode:");
    Home::in_s3(&config).refused().expect(2, &["nobodys-key"]);
}
