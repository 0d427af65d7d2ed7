//! Why code was not loaded.

use sandbpf_classic::CheckError;
use sandbpf_isa::{DecodeError, ProgramError, TextError};

use crate::{Dialect, KindName, VerifyError};

/// Why code was not loaded. `Display` says where and what.
///
/// ```
/// use sandbpf::{Buffer, Loader};
/// let error = Loader::new().load::<Buffer>("r0 = 1\nr11 = 2").unwrap_err();
/// assert!(error.to_string().contains("line 2"), "{error}");
/// ```
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct LoadError(#[from] pub(crate) LoadErrorKind);

#[derive(Debug, thiserror::Error)]
pub(crate) enum LoadErrorKind {
    #[error("no extended program: {0}")]
    Decode(#[from] DecodeError),
    #[error("no extended program: {0}")]
    Program(#[from] ProgramError),
    #[error("no assembly: {0}")]
    Text(#[from] TextError),
    #[error("no classic program: {0}")]
    ClassicText(TextError),
    #[error("refused by the rules of {}: {error}", dialect_name(*dialect))]
    Check { dialect: Dialect, error: CheckError },
    #[error("{kind} programs are {expected}; this one is {found}")]
    Form { kind: KindName, expected: &'static str, found: &'static str },
    #[error("the dialect of {} does not fit {kind} programs", dialect_name(*dialect))]
    Dialect { kind: KindName, dialect: Dialect },
    #[error("no machine code: {0}")]
    Engine(String),
    #[error("rejected: {0}")]
    Verify(Box<VerifyError>),
    #[error("{0} programs are no type of program of Linux: nothing verifies them")]
    NoVerifier(KindName),
}

impl LoadError {
    /// Why the classic check refused the filter, if that is the reason.
    pub fn check(&self) -> Option<&CheckError> {
        match &self.0 {
            LoadErrorKind::Check { error, .. } => Some(error),
            _ => None,
        }
    }

    /// Why Linux would not load the program, if that is the reason.
    pub fn verify(&self) -> Option<&VerifyError> {
        match &self.0 {
            LoadErrorKind::Verify(error) => Some(error),
            _ => None,
        }
    }

    /// Why the bytes are no extended program, if that is the reason.
    pub fn decode(&self) -> Option<&DecodeError> {
        match &self.0 {
            LoadErrorKind::Decode(error) => Some(error),
            _ => None,
        }
    }
}

fn dialect_name(dialect: Dialect) -> &'static str {
    match dialect {
        Dialect::Libpcap => "libpcap",
        Dialect::Linux => "Linux socket filters",
        Dialect::Seccomp => "seccomp",
    }
}
