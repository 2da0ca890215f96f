//! One thread for each PKCS#11 module of this process, which alone calls it.
//!
//! A module is initialised for the whole process, logs in for the whole process, and may hang: so one owner, a short queue, and
//! callers who wait for a bounded time. While it hangs, further calls are refused at once.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use cryptoki::context::{CInitializeArgs, CInitializeFlags, Pkcs11};
use cryptoki::error::{Error, RvError};
use cryptoki::types::AuthPin;
use sha2::{Digest, Sha256};

use crate::receive::Secret;

/// How long a caller waits.
const LIMIT: Duration = Duration::from_secs(30);
/// Calls that wait for their turn.
const QUEUE: usize = 4;

type Call = Box<dyn FnOnce(&mut Loaded) + Send>;

/// The threads, by their module's path. A module stays until the process ends.
static THREADS: Mutex<BTreeMap<PathBuf, SyncSender<Call>>> = Mutex::new(BTreeMap::new());

/// Why a call gave nothing.
#[derive(Debug)]
pub(super) enum Failure {
    /// The token did not take the PIN.
    PinRefused(String),
    /// Anything else; the same call may succeed on a module that is initialised anew.
    Other(String),
}

impl Failure {
    pub(super) fn of_login(error: Error) -> Self {
        match error {
            Error::Pkcs11(
                RvError::PinIncorrect
                | RvError::PinInvalid
                | RvError::PinLenRange
                | RvError::PinExpired
                | RvError::PinLocked
                | RvError::UserPinNotInitialized,
                _,
            ) => Self::PinRefused(said(&error)),
            error => error.into(),
        }
    }

    fn text(self) -> String {
        match self {
            Self::PinRefused(what) | Self::Other(what) => what,
        }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Other(said(&error))
    }
}

fn said(error: &Error) -> String {
    match error {
        Error::Pkcs11(error, function) => format!("{function:?} gave {error:?}"),
        other => other.to_string(),
    }
}

/// A module, for any number of users.
pub(super) struct Module(SyncSender<Call>);

impl Module {
    /// The one at `path`. It is loaded by the first call.
    ///
    /// # Errors
    /// If no thread can be started.
    pub(super) fn of(path: &Path) -> Result<Self, String> {
        // Two names of one library are one module.
        let path = path.canonicalize().unwrap_or_else(|_| path.to_owned());
        let mut threads = THREADS.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(thread) = threads.get(&path) {
            return Ok(Self(thread.clone()));
        }
        let (sender, calls) = sync_channel::<Call>(QUEUE);
        let mut loaded = Loaded { path: path.clone(), library: None, initialised: false, refused: BTreeMap::new() };
        let owner = thread::Builder::new().name("pkcs11".to_owned());
        let started = owner.spawn(move || calls.iter().for_each(|call| call(&mut loaded)));
        started.map_err(|error| format!("PKCS#11: no thread: {error}"))?;
        threads.insert(path, sender.clone());
        Ok(Self(sender))
    }

    /// Runs `job` in the module's thread, twice if it fails.
    ///
    /// # Errors
    /// What the job's failure says, or that the module does not answer.
    pub(super) fn run<T: Send + 'static>(
        &self,
        token: &str,
        pin: Secret,
        job: impl Fn(&Pkcs11, &AuthPin) -> Result<T, Failure> + Send + 'static,
    ) -> Result<T, String> {
        let (answer, receiver) = sync_channel(1);
        let token = token.to_owned();
        let call: Call = Box::new(move |loaded| {
            // Nobody waits only if it took too long.
            let _ = answer.send(loaded.attempt(&token, &pin, &job));
        });
        self.0.try_send(call).map_err(|_| "the module is busy with earlier calls, or hangs".to_owned())?;
        receiver.recv_timeout(LIMIT).unwrap_or_else(|_| Err(format!("no answer within {} s", LIMIT.as_secs())))
    }
}

/// What the thread owns.
struct Loaded {
    path: PathBuf,
    library: Option<Pkcs11>,
    initialised: bool,
    /// SHA-256 of PINs that a token refused, by its label.
    refused: BTreeMap<String, [u8; 32]>,
}

impl Loaded {
    fn attempt<T>(
        &mut self,
        token: &str,
        pin: &Secret,
        job: &dyn Fn(&Pkcs11, &AuthPin) -> Result<T, Failure>,
    ) -> Result<T, String> {
        let digest: [u8; 32] = Sha256::digest(pin.expose()).into();
        if self.refused.get(token) == Some(&digest) {
            return Err(
                "the token refused this PIN before, and is not asked again, lest it locks itself: correct the PIN's file"
                    .to_owned(),
            );
        }
        let pin = AuthPin::from(pin.expose());
        let once = |this: &mut Self| {
            let done = this.open().and_then(|context| job(context, &pin));
            if done.is_err() {
                this.close();
            }
            done
        };
        match once(self) {
            Ok(done) => Ok(done),
            Err(Failure::PinRefused(what)) => {
                self.refused.insert(token.to_owned(), digest);
                Err(format!("the token refuses the PIN: {what}"))
            }
            Err(Failure::Other(_)) => match once(self) {
                Ok(done) => Ok(done),
                Err(failure) => {
                    if matches!(failure, Failure::PinRefused(_)) {
                        self.refused.insert(token.to_owned(), digest);
                    }
                    Err(failure.text())
                }
            },
        }
    }

    fn open(&mut self) -> Result<&Pkcs11, Failure> {
        if self.library.is_none() {
            let library = Pkcs11::new(&self.path);
            self.library =
                Some(library.map_err(|error| Failure::Other(format!("the module can't be loaded: {error}")))?);
        }
        let Some(library) = &self.library else { unreachable!("loaded above") };
        if !self.initialised {
            match library.initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK)) {
                Ok(()) | Err(Error::Pkcs11(RvError::CryptokiAlreadyInitialized, _)) => self.initialised = true,
                Err(error) => return Err(error.into()),
            }
        }
        Ok(library)
    }

    /// The next call finds what is there then.
    fn close(&mut self) {
        if std::mem::take(&mut self.initialised)
            && let Some(library) = self.library.clone()
        {
            // One that fails has nothing left to be closed.
            let _ = library.finalize();
        }
    }
}
