//! What can go wrong, and what the reader of the message should do about it.

use std::fmt;

use thiserror::Error as ThisError;

/// Boxes any error that user code returns.
pub type BoxError = Box<dyn std::error::Error + Send + Sync + 'static>;

/// Abbreviates results whose error is [`struct@Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Tells why a pipeline could not be built or run.
///
/// The kind says which; [`Error::is_transient`] says whether doing it again may help.
pub struct Error(Box<ErrorKind>);

/// Distinguishes the causes of an [`struct@Error`].
#[derive(Debug, ThisError)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The pipeline is not well formed; every reason found is listed.
    #[error("the pipeline cannot run:{}", list(.0))]
    Invalid(Vec<String>),
    /// User code returned an error or panicked.
    #[error("{what} failed in transform '{transform}'{}: {cause}", at(.element))]
    User {
        /// The path of the transform.
        transform: String,
        /// The function that failed, such as `process` or `add_input`.
        what: &'static str,
        /// The element it was working on, as text or JSON, shortened; of a group, `of key …`.
        element: Option<String>,
        /// The error and its sources, or the panic's message.
        cause: String,
    },
    /// A source or sink could not do what was asked of it.
    #[error("{0}")]
    Connector(String),
    /// A connector's failure that may pass: a time-out, a quota, a lost connection.
    #[error("{0}")]
    Transient(String),
    /// Reading or writing a file failed.
    #[error("{context}: {source}")]
    Io {
        /// What was being done, with the path.
        context: String,
        /// The operating system's answer.
        source: std::io::Error,
    },
    /// A value could not be encoded or decoded.
    #[error("coder: {0}")]
    Coder(String),
    /// An option has a value that cannot be used.
    #[error("{0}")]
    Option(String),
    /// The engine broke one of its own rules; please report it.
    #[error("internal error of the engine: {0}")]
    Internal(String),
}

fn list(reasons: &[String]) -> String {
    reasons.iter().map(|r| format!("\n  - {r}")).collect()
}

fn at(element: &Option<String>) -> String {
    match element {
        Some(key) if key.starts_with("of key ") => format!(" on an element {key}"),
        Some(element) => format!(" on element {element}"),
        None => String::new(),
    }
}

impl Error {
    /// Returns the cause.
    pub fn kind(&self) -> &ErrorKind {
        &self.0
    }

    /// Tells whether the same call may succeed later, so that it is worth a retry.
    pub fn is_transient(&self) -> bool {
        matches!(*self.0, ErrorKind::Transient(_))
    }

    /// Makes an error of a connector that no retry mends.
    pub fn connector(message: impl fmt::Display) -> Self {
        ErrorKind::Connector(message.to_string()).into()
    }

    /// Makes an error of a connector that a later attempt may not meet.
    pub fn transient(message: impl fmt::Display) -> Self {
        ErrorKind::Transient(message.to_string()).into()
    }

    /// Makes an error from one of the operating system, saying what was being done.
    pub fn io(context: impl fmt::Display, source: std::io::Error) -> Self {
        ErrorKind::Io {
            context: context.to_string(),
            source,
        }
        .into()
    }

    /// Makes an error about the value of an option.
    pub fn option(message: impl fmt::Display) -> Self {
        ErrorKind::Option(message.to_string()).into()
    }

    pub(crate) fn internal(message: impl fmt::Display) -> Self {
        ErrorKind::Internal(message.to_string()).into()
    }

    /// Names the transform whose source or sink gave the error; keeps the cause.
    pub(crate) fn source_failed(what: &'static str, transform: &str, error: Error) -> Self {
        match error.kind() {
            ErrorKind::Internal(_) => error,
            ErrorKind::Io { context, source } => {
                let cause = format!("{context}: {}", chain(source).join(": "));
                Error::user(transform, what, None, cause)
            }
            _ => Error::user(transform, what, None, error.to_string()),
        }
    }

    /// Names the transform of an error that does not name one yet.
    pub(crate) fn located(
        self,
        what: &'static str,
        transform: &str,
        element: Option<String>,
    ) -> Self {
        match *self.0 {
            ErrorKind::Connector(cause) => Error::user(transform, what, element, cause),
            kind => kind.into(),
        }
    }

    pub(crate) fn user(
        transform: &str,
        what: &'static str,
        element: Option<String>,
        cause: String,
    ) -> Self {
        ErrorKind::User {
            transform: transform.to_owned(),
            what,
            element,
            cause,
        }
        .into()
    }
}

impl From<ErrorKind> for Error {
    fn from(kind: ErrorKind) -> Self {
        Error(Box::new(kind))
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// Prints the message itself: `main` may return this error as it is.
impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match &*self.0 {
            ErrorKind::Io { source, .. } => Some(source),
            _ => None,
        }
    }
}

/// Lists an error and its sources, outermost first.
pub(crate) fn chain(error: &(dyn std::error::Error + 'static)) -> Vec<String> {
    let mut messages = vec![error.to_string()];
    let mut next = error.source();
    while let Some(error) = next {
        messages.push(error.to_string());
        next = error.source();
    }
    messages
}
