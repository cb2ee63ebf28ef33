//! Where a GoogleSQL text is wrong, and why.

use std::fmt;

use sqlparser::tokenizer::{Location, Span};

/// Says at which line and column a GoogleSQL text is wrong or unsupported, and what would be understood.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct SqlError {
    /// Line, from 1.
    pub line: u64,
    /// Column in characters, from 1.
    pub column: u64,
    /// What is wrong, and the remedy.
    pub message: String,
    /// Name of the view whose text the position refers to; `None`: the text of the call.
    pub view: Option<String>,
}

impl fmt::Display for SqlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}, column {}", self.line, self.column)?;
        if let Some(view) = &self.view {
            write!(f, " of view `{view}`")?;
        }
        write!(f, ": {}", self.message)
    }
}

impl std::error::Error for SqlError {}

/// A place in the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Position {
    pub line: u64,
    pub column: u64,
}

impl Position {
    pub const START: Self = Self { line: 1, column: 1 };

    /// Takes the start of a span, or the fallback where the parser left none.
    pub fn of(span: Span, fallback: Self) -> Self {
        match span.start {
            Location { line: 0, .. } => fallback,
            Location { line, column } => Self { line, column },
        }
    }

    pub fn error(self, message: impl Into<String>) -> SqlError {
        SqlError {
            line: self.line,
            column: self.column,
            message: message.into(),
            view: None,
        }
    }
}
