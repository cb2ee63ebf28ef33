//! What becomes of a table before it is written.

/// Says whether a table may be created.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CreateDisposition {
    /// It has to be there.
    Never,
    /// It is created if it is not there.
    #[default]
    IfNeeded,
}

/// Says what becomes of the rows that a table has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WriteDisposition {
    /// They stay.
    #[default]
    Append,
    /// They go, when the run begins; not when it is resumed.
    Truncate,
    /// There must be none when the run begins.
    Empty,
}

/// Says how a table is got ready before its first row.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TableOptions {
    /// Whether it may be created. Default: if needed.
    pub create: CreateDisposition,
    /// What becomes of its rows. Default: they stay.
    pub write: WriteDisposition,
    /// Adds columns of the schema that the table does not have, as NULLABLE (or REPEATED). Default: that is an error.
    pub new_columns: bool,
}
