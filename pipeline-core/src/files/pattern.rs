//! Which names a pattern means.

use std::io;
use std::path::Path;

use super::FileError;

/// Matches names with `/` between their parts: those of objects in a bucket.
///
/// `*` and `?` stand for anything within a part, `[…]` for one of some letters, and a part `**` for any number
/// of parts, as the crate `glob` reads them. Parts that begin with a dot must be named with it: what is
/// temporary is not met by chance.
///
/// ```
/// use pipeline_core::files::NamePattern;
///
/// let pattern = NamePattern::new("output/**/*.json")?;
/// assert_eq!(pattern.prefix(), "output/");
/// assert!(pattern.matches("output/2024/02/a.json"));
/// assert!(!pattern.matches("output/.pipeline/a.json"));
/// # Ok::<(), pipeline_core::files::FileError>(())
/// ```
#[derive(Clone, Debug)]
pub struct NamePattern(glob::Pattern);

impl NamePattern {
    /// Reads a pattern.
    ///
    /// # Errors
    /// When it is none: a `[` without an end, `**` beside other letters.
    pub fn new(pattern: &str) -> Result<Self, FileError> {
        let read = glob::Pattern::new(pattern);
        read.map(NamePattern).map_err(|error| {
            let kind = io::ErrorKind::InvalidInput;
            FileError::because("read", Path::new(pattern), kind, error.to_string())
        })
    }

    /// Returns what all names that match begin with.
    pub fn prefix(&self) -> &str {
        let text = self.0.as_str();
        let end = text.find(['*', '?', '[']).unwrap_or(text.len());
        &text[..end]
    }

    /// Tells whether only one name matches.
    pub fn is_literal(&self) -> bool {
        self.prefix().len() == self.0.as_str().len()
    }

    /// Tells whether a name matches.
    pub fn matches(&self, name: &str) -> bool {
        let options = glob::MatchOptions {
            case_sensitive: true,
            require_literal_separator: true,
            require_literal_leading_dot: true,
        };
        self.0.matches_with(name, options)
    }
}
