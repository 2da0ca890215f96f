//! A small disk of our own, which can be filled up without harm.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Set for the copy of this test that runs in a name space of its own.
const INSIDE: &str = "TACHOGRAPH_TEST_IN_NAMESPACE";

/// A mounted tmpfs; unmounted when dropped.
pub(crate) struct SmallDisk {
    directory: tempfile::TempDir,
}

impl SmallDisk {
    /// Mounts a disk of that many MiB and runs `test` on it. Where this process may not mount, the test named `name` is run once
    /// more in a name space of its own, in which it may.
    ///
    /// # Panics
    /// If neither is possible: without a small disk nothing would be tested.
    pub(crate) fn run(name: &str, mebibytes: u64, test: impl FnOnce(&Self)) {
        match Self::mount(mebibytes) {
            Ok(disk) => test(&disk),
            Err(refused) if std::env::var_os(INSIDE).is_none() => {
                let this = std::env::current_exe().unwrap();
                let mut again = Command::new("unshare");
                again.args(["--user", "--map-root-user", "--mount"]).arg(this);
                again.args(["--exact", name, "--nocapture", "--test-threads=1"]).env(INSIDE, "1");
                let status = again.status().unwrap_or_else(|e| panic!("{again:?}: {e}"));
                assert!(
                    status.success(),
                    "the test failed in a name space of its own, or there can be none ({status}); mounting here gave: \
                     {refused}. Run it as root, or allow user name spaces (sysctl kernel.unprivileged_userns_clone=1)"
                );
            }
            Err(refused) => panic!("no small disk can be mounted: {refused}. Run this test as root"),
        }
    }

    fn mount(mebibytes: u64) -> Result<Self, String> {
        let directory = tempfile::tempdir().unwrap();
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &format!("size={mebibytes}m,mode=700"), "tachograph-test"]);
        let output = mount.arg(directory.path()).output().map_err(|e| format!("{mount:?}: {e}"))?;
        match output.status.success() {
            true => Ok(Self { directory }),
            false => Err(String::from_utf8_lossy(&output.stderr).trim().to_owned()),
        }
    }

    pub(crate) fn path(&self) -> &Path {
        self.directory.path()
    }

    fn filler(&self) -> PathBuf {
        self.path().join("filler")
    }

    /// Takes all space but for about `left` bytes.
    pub(crate) fn fill_up(&self, left: u64) {
        let mut file = OpenOptions::new().create(true).append(true).open(self.filler()).unwrap();
        while file.write_all(&[0x46; 4 << 10]).is_ok() {}
        let size = file.metadata().unwrap().len();
        file.set_len(size.saturating_sub(left)).unwrap();
    }

    pub(crate) fn free(&self) {
        fs::remove_file(self.filler()).unwrap();
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(self.path()).status();
    }
}
