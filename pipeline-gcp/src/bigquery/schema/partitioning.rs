//! How a table is divided by time.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Says how long a partition is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Granularity {
    /// An hour; not for a DATE.
    Hour,
    /// A day.
    Day,
    /// A month.
    Month,
    /// A year.
    Year,
}

impl Granularity {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Granularity::Hour => "HOUR",
            Granularity::Day => "DAY",
            Granularity::Month => "MONTH",
            Granularity::Year => "YEAR",
        }
    }

    pub(crate) fn parse(name: &str) -> Option<Granularity> {
        use Granularity::{Day, Hour, Month, Year};
        let all = [Hour, Day, Month, Year];
        all.into_iter()
            .find(|g| g.name().eq_ignore_ascii_case(name))
    }
}

/// Divides a table by the time in a column, or by the time at which rows come in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Partitioning {
    /// How long a partition is.
    pub granularity: Granularity,
    /// A DATE, DATETIME or TIMESTAMP; `None` for the time of ingestion.
    pub column: Option<String>,
    /// How long a partition is kept; `None` for ever (or what the dataset says). Not part of the comparison of schemas.
    pub expiration: Option<Duration>,
    /// Refuses queries that do not say which partitions they want. Not part of the comparison of schemas.
    pub require_filter: bool,
}

impl Partitioning {
    /// Divides by a column.
    pub fn by(column: impl Into<String>, granularity: Granularity) -> Self {
        Partitioning {
            granularity,
            column: Some(column.into()),
            expiration: None,
            require_filter: false,
        }
    }

    /// Divides by the time of ingestion.
    pub fn by_ingestion(granularity: Granularity) -> Self {
        Partitioning {
            granularity,
            column: None,
            expiration: None,
            require_filter: false,
        }
    }

    /// Deletes a partition so long after its own time.
    #[must_use]
    pub fn expiration(mut self, expiration: Duration) -> Self {
        self.expiration = Some(expiration);
        self
    }

    /// Refuses queries that do not say which partitions they want.
    #[must_use]
    pub fn require_filter(mut self) -> Self {
        self.require_filter = true;
        self
    }

    /// Says it in GoogleSQL.
    #[cfg(feature = "gcp")]
    pub(crate) fn described(&self) -> String {
        let column = self.column.as_deref().unwrap_or("_PARTITIONTIME");
        format!("{} of `{column}`", self.granularity.name())
    }
}
