//! Calls of user code: what it returns or panics with becomes an error that names the transform,
//! the function and the element.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::coder::Element;
use crate::error::{BoxError, Error, chain};
use crate::graph::as_raw_bytes;

/// Stops a loop over elements: the user's code failed, or something downstream did.
pub(crate) enum Fault {
    User(BoxError),
    /// As `User`, in a function that the loop does not know by itself.
    In(&'static str, String),
    Downstream(Error),
}

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        Fault::Downstream(error)
    }
}

/// A [`Fault`], or the message of a panic.
pub(crate) enum Failed {
    User(String),
    In(&'static str, String),
    Downstream(Error),
}

impl Failed {
    /// Completes the error; the other arguments describe the call that failed.
    pub(crate) fn at(self, path: &str, what: &'static str, element: Option<String>) -> Error {
        match self {
            Failed::User(cause) => Error::user(path, what, element, cause),
            Failed::In(what, cause) => Error::user(path, what, element, cause),
            // What went wrong behind the transform has its name; a wrong use of its own outputs
            // has not.
            Failed::Downstream(error) => error.located(what, path, element),
        }
    }
}

/// Runs a loop that calls user code; once a batch, since it costs a little.
pub(crate) fn guarded<R>(f: impl FnOnce() -> Result<R, Fault>) -> Result<R, Failed> {
    // What the closure touches is not used again after a panic: the job ends.
    match catch_unwind(AssertUnwindSafe(f)) {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(Fault::User(error))) => Err(Failed::User(chain(&*error).join(": "))),
        Ok(Err(Fault::In(what, cause))) => Err(Failed::In(what, cause)),
        Ok(Err(Fault::Downstream(error))) => Err(Failed::Downstream(error)),
        Err(panic) => Err(Failed::User(format!("panic: {}", panic_message(&*panic)))),
    }
}

/// Runs what the engine does for a transform; an error or a panic that nobody nearer to the
/// user's code has named gets the transform's name.
pub(crate) fn at_transform<R>(
    path: &str,
    what: &'static str,
    f: impl FnOnce() -> Result<R, Error>,
) -> Result<R, Error> {
    match catch_unwind(AssertUnwindSafe(f)) {
        Ok(result) => result.map_err(|error| error.located(what, path, None)),
        Err(panic) => {
            let cause = format!("panic: {}", panic_message(&*panic));
            Err(Error::user(path, what, None, cause))
        }
    }
}

/// Returns the text of a panic.
pub(crate) fn panic_message(panic: &(dyn Any + Send)) -> String {
    if let Some(text) = panic.downcast_ref::<&str>() {
        (*text).to_owned()
    } else if let Some(text) = panic.downcast_ref::<String>() {
        text.clone()
    } else {
        "(no message)".to_owned()
    }
}

/// Remembers the element that user code is working on, so that a panic can name it.
///
/// Closures take elements by value, so naming one costs a clone of it.
pub(crate) struct Current<T>(Option<T>);

impl<T: Element> Current<T> {
    pub(crate) const fn none() -> Self {
        Current(None)
    }

    #[inline]
    pub(crate) fn set(&mut self, value: &T) {
        match &mut self.0 {
            Some(current) => current.clone_from(value),
            none => *none = Some(value.clone()),
        }
    }

    pub(crate) fn clear(&mut self) {
        self.0 = None;
    }

    pub(crate) fn describe(&self) -> Option<String> {
        self.0.as_ref().map(describe)
    }
}

/// The number of characters of an element that an error shows.
const SHOWN: usize = 200;

/// Shows an element: its text where it is a record, else as JSON, shortened.
pub(crate) fn describe<T: Element>(value: &T) -> String {
    if let Some(bytes) = as_raw_bytes(value) {
        // Enough for the characters that are shown, and no more of a record of megabytes.
        let text = String::from_utf8_lossy(&bytes[..bytes.len().min(8 * SHOWN)]);
        return shorten(&text, bytes.len());
    }
    match serde_json::to_string(value) {
        Ok(json) => shorten(&json, json.len()),
        Err(error) => format!("(cannot be shown as JSON: {error})"),
    }
}

/// Cuts a text at [`SHOWN`] characters, and says then how many bytes there were.
fn shorten(text: &str, bytes: usize) -> String {
    match text.char_indices().nth(SHOWN) {
        Some((at, _)) => format!("{}… ({bytes} bytes)", &text[..at]),
        None => text.to_owned(),
    }
}
