//! Why a value could not be encoded or decoded, and where.

use std::{error, fmt};

use serde::{de, ser};

use super::format::{MAX_DEPTH, VERSION};

/// How much of the way to a failure a message shows.
const MAX_STEPS_SHOWN: usize = 16;

/// Tells why a value could not be encoded or decoded: the type, the place within the value, the cause, the remedy.
#[derive(Debug)]
pub struct CoderError(Box<Detail>);

#[derive(Debug)]
struct Detail {
    /// The verb and the type, set by the outermost call.
    action: Option<(&'static str, &'static str)>,
    /// The way to the failure, innermost step first.
    path: Vec<String>,
    /// The byte where decoding stopped.
    offset: Option<usize>,
    cause: Cause,
}

/// What went wrong.
#[derive(Debug)]
pub(super) enum Cause {
    /// A `Serialize` or `Deserialize` implementation said so.
    Custom(String),
    /// The bytes end within a value.
    Truncated,
    /// The bytes are not of this format.
    Malformed(String),
    /// The first byte is not the version of this format.
    Version(u8),
    /// The value nests deeper than the limit.
    Depth,
    /// The type has no such field, and all had to be known.
    Unknown,
}

impl CoderError {
    pub(super) fn new(cause: Cause) -> Self {
        CoderError(Box::new(Detail {
            action: None,
            path: Vec::new(),
            offset: None,
            cause,
        }))
    }

    /// Adds a step of the way to the failure; called from the inside out.
    pub(super) fn within(mut self, step: impl FnOnce() -> String) -> Self {
        self.0.path.push(step());
        self
    }

    /// Notes the byte where decoding stopped, unless it is known already.
    pub(super) fn at(mut self, offset: usize) -> Self {
        self.0.offset.get_or_insert(offset);
        self
    }

    /// Names the verb and the type.
    pub(super) fn of<T: ?Sized>(mut self, verb: &'static str) -> Self {
        self.0.action = Some((verb, std::any::type_name::<T>()));
        self
    }
}

/// Shows the way to the failure.
struct Place<'a>(&'a [String]);

impl fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut steps = self.0.iter().rev();
        let outermost = steps.by_ref().take(MAX_STEPS_SHOWN);
        for step in outermost {
            f.write_str(step)?;
        }
        if steps.next().is_some() {
            f.write_str("…")?;
        }
        Ok(())
    }
}

impl CoderError {
    /// Returns the place and the cause, without the type and the byte.
    pub(crate) fn reason(&self) -> String {
        let Detail { path, cause, .. } = &*self.0;
        match path.is_empty() {
            true => cause.to_string(),
            false => format!("at {}: {cause}", Place(path)),
        }
    }
}

impl fmt::Display for CoderError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Detail {
            action,
            path,
            offset,
            cause,
        } = &*self.0;
        if let Some((verb, type_name)) = action {
            write!(f, "cannot {verb} {type_name}")?;
            if !path.is_empty() {
                write!(f, " at {}", Place(path))?;
            }
            if let Some(offset) = offset {
                write!(f, " (byte {offset})")?;
            }
            f.write_str(": ")?;
        }
        cause.fmt(f)
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Cause::Custom(message) => f.write_str(message),
            Cause::Truncated => f.write_str("the bytes end within the value"),
            Cause::Malformed(what) => {
                write!(f, "{what}; these bytes were not written for this type")
            }
            Cause::Version(found) => {
                write!(
                    f,
                    "the bytes have format version {found}, this program reads version {VERSION}; "
                )?;
                f.write_str("read them with the program that wrote them")
            }
            Cause::Unknown => f.write_str(
                "the program knows no such field; keep it, or name it as an alias of the new one \
                 (`#[serde(alias = \"…\")]`)",
            ),
            Cause::Depth => {
                write!(f, "the value nests deeper than {MAX_DEPTH} levels; ")?;
                f.write_str("flatten it, for example a linked list into a Vec")
            }
        }
    }
}

impl error::Error for CoderError {}

impl ser::Error for CoderError {
    fn custom<T: fmt::Display>(message: T) -> Self {
        CoderError::new(Cause::Custom(message.to_string()))
    }
}

impl de::Error for CoderError {
    fn custom<T: fmt::Display>(message: T) -> Self {
        CoderError::new(Cause::Custom(message.to_string()))
    }
}
