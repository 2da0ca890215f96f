//! A PKCS#11 token in software: SoftHSM 2, with keys that `pkcs11-tool` made, as docs/operating.md tells an operator to.

use std::path::{Path, PathBuf};
use std::process::Command;

/// The variable that names the module, a shared library.
pub const VARIABLE: &str = "TACHOGRAPH_TEST_SOFTHSM";
/// The variable that names SoftHSM's own configuration.
pub const CONFIGURATION: &str = "SOFTHSM2_CONF";
/// Label of the token.
pub const TOKEN: &str = "ledger";
/// Its user's PIN.
pub const PIN: &str = "648219";
const SO_PIN: &str = "71920463";

/// A token with the keys `p256`, `ed25519` and `mac`; gone when dropped.
#[derive(Debug)]
pub struct SoftHsm {
    directory: tempfile::TempDir,
}

impl SoftHsm {
    /// Makes it.
    ///
    /// # Panics
    /// If the module or its tools are not there.
    pub fn new() -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let this = Self { directory };
        std::fs::create_dir(this.tokens()).expect("a directory");
        let settings = format!(
            "directories.tokendir = {}\nobjectstore.backend = file\nlog.level = ERROR\n",
            this.tokens().display()
        );
        std::fs::write(this.configuration(), settings).expect("SoftHSM's configuration");
        std::fs::write(this.pin_file(), format!("{PIN}\n")).expect("a file with the PIN");
        this.tool("softhsm2-util", &["--init-token", "--free", "--label", TOKEN, "--so-pin", SO_PIN, "--pin", PIN]);
        this.make_pair("EC:prime256v1", "p256", "01");
        this.make_pair("EC:edwards25519", "ed25519", "02");
        this.pkcs11(&[
            "--keygen",
            "--key-type",
            "GENERIC:32",
            "--label",
            "mac",
            "--id",
            "03",
            "--usage-sign",
            "--sensitive",
        ]);
        this
    }

    /// Makes a key pair in it.
    pub fn make_pair(&self, kind: &str, label: &str, id: &str) {
        self.pkcs11(&["--keypairgen", "--key-type", kind, "--label", label, "--id", id, "--usage-sign"]);
    }

    /// Gives the user another PIN.
    pub fn change_pin(&self, pin: &str) {
        self.pkcs11(&["--change-pin", "--new-pin", pin]);
    }

    /// The module.
    ///
    /// # Panics
    /// If the environment names none.
    pub fn module() -> PathBuf {
        let module = std::env::var_os(VARIABLE).map(PathBuf::from);
        module.unwrap_or_else(|| panic!("{VARIABLE} is not set: run `cargo xtask test`"))
    }

    /// SoftHSM's configuration.
    pub fn configuration(&self) -> PathBuf {
        self.directory.path().join("softhsm2.conf")
    }

    /// A file with the PIN.
    pub fn pin_file(&self) -> PathBuf {
        self.directory.path().join("pin")
    }

    /// Pulls the token out.
    ///
    /// # Panics
    /// If it is out.
    pub fn pull_out(&self) {
        pull_out(&self.configuration());
    }

    /// Puts it back.
    ///
    /// # Panics
    /// If it is in.
    pub fn put_back(&self) {
        put_back(&self.configuration());
    }

    fn tokens(&self) -> PathBuf {
        self.directory.path().join("tokens")
    }

    fn pkcs11(&self, arguments: &[&str]) {
        let module = Self::module();
        let module = module.to_str().expect("a path in UTF-8");
        let all = [&["--module", module, "--token-label", TOKEN, "--login", "--pin", PIN], arguments].concat();
        self.tool("pkcs11-tool", &all);
    }

    fn tool(&self, program: &str, arguments: &[&str]) {
        let mut command = Command::new(program);
        let done = command.args(arguments).env(CONFIGURATION, self.configuration()).output();
        let done = done.unwrap_or_else(|error| panic!("{program}: {error}: run `cargo xtask setup`"));
        let said = String::from_utf8_lossy(&done.stderr);
        assert!(done.status.success(), "{program} {arguments:?}: {said}");
    }
}

impl Default for SoftHsm {
    fn default() -> Self {
        Self::new()
    }
}

/// Pulls out the token of this configuration.
///
/// # Panics
/// If it is out.
pub fn pull_out(configuration: &Path) {
    let tokens = configuration.with_file_name("tokens");
    std::fs::rename(&tokens, configuration.with_file_name("away")).expect("a token that is there");
    std::fs::create_dir(&tokens).expect("a directory");
}

/// Logs in by hand at the token of this configuration.
///
/// # Panics
/// If it does not take the PIN.
pub fn log_in(configuration: &Path, pin: &str) {
    let mut command = Command::new("pkcs11-tool");
    command.arg("--module").arg(SoftHsm::module()).args([
        "--token-label",
        TOKEN,
        "--login",
        "--pin",
        pin,
        "--list-objects",
    ]);
    let done = command.env(CONFIGURATION, configuration).output().expect("pkcs11-tool, which `cargo xtask setup` gets");
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
}

/// Puts it back.
///
/// # Panics
/// If it is in.
pub fn put_back(configuration: &Path) {
    let tokens = configuration.with_file_name("tokens");
    std::fs::remove_dir(&tokens).expect("an empty directory");
    std::fs::rename(configuration.with_file_name("away"), tokens).expect("a token that is away");
}
