//! A translated expression with its GoogleSQL type.

use super::error::{Position, SqlError};
use super::literal;
use crate::bigquery::schema::ColumnType;

/// A translated expression.
#[derive(Debug, Clone)]
pub(super) struct Typed {
    /// SQLite text, in parentheses where it is compound.
    pub sql: String,
    /// Type; `None` for a bare NULL, which takes any.
    pub ty: Option<ColumnType>,
    /// Where it stands.
    pub at: Position,
    /// The first column used outside an aggregate and outside a grouping key.
    pub ungrouped: Option<(String, Position)>,
    /// Contains an aggregate.
    pub aggregate: bool,
    /// Contains a window function.
    pub window: bool,
    /// What it is if it is a literal.
    pub literal: Option<Literal>,
}

/// The value of a literal, where translation depends on it.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Literal {
    String(String),
    Int64(i64),
    Other,
}

impl Typed {
    /// Builds an expression from its parts, whose use of columns, aggregates and windows it inherits.
    pub fn from_parts<'a>(
        sql: String,
        ty: Option<ColumnType>,
        at: Position,
        parts: impl IntoIterator<Item = &'a Typed>,
    ) -> Self {
        let mut built = Self {
            sql,
            ty,
            at,
            ungrouped: None,
            aggregate: false,
            window: false,
            literal: None,
        };
        for part in parts {
            built.ungrouped = built.ungrouped.or_else(|| part.ungrouped.clone());
            built.aggregate |= part.aggregate;
            built.window |= part.window;
        }
        built
    }

    pub fn literal(sql: String, ty: Option<ColumnType>, at: Position, literal: Literal) -> Self {
        Self {
            literal: Some(literal),
            ..Self::from_parts(sql, ty, at, [])
        }
    }

    /// Names the type for messages.
    pub fn type_name(&self) -> String {
        self.ty.map_or("NULL".to_owned(), |ty| ty.to_string())
    }

    /// Converts implicitly, as GoogleSQL does: NULL to any type, INT64 to FLOAT64, a STRING literal to TIMESTAMP.
    pub fn coerce(self, target: ColumnType, what: &str) -> Result<Self, SqlError> {
        match (self.ty, &self.literal) {
            (Some(ty), _) if ty == target => Ok(self),
            (None, _) => Ok(Self {
                ty: Some(target),
                ..self
            }),
            (Some(ColumnType::Int64), _) if target == ColumnType::Float64 => Ok(Self {
                sql: format!("CAST({} AS REAL)", self.sql),
                ty: Some(target),
                literal: None,
                ..self
            }),
            (Some(ColumnType::String), Some(Literal::String(text)))
                if target == ColumnType::Timestamp =>
            {
                literal::timestamp(text, self.at)
            }
            _ => Err(self.at.error(format!(
                "{what} has to be {target} and is {}; CAST it",
                self.type_name()
            ))),
        }
    }

    /// Refuses aggregates and window functions, for the clauses that come before them.
    pub fn plain(self, clause: &str) -> Result<Self, SqlError> {
        if self.aggregate || self.window {
            return Err(self.at.error(format!(
                "{clause} cannot contain an aggregate or a window function"
            )));
        }
        Ok(self)
    }
}

/// Tells whether GoogleSQL is understood for a type; values of others can only be passed through.
pub(super) fn is_understood(ty: ColumnType) -> bool {
    use ColumnType::{Bool, Float64, Int64, String, Timestamp};
    matches!(ty, String | Int64 | Float64 | Bool | Timestamp)
}

/// Refuses a value that can only be passed through.
pub(super) fn understood(ty: Option<ColumnType>, what: &str, at: Position) -> Result<(), SqlError> {
    match ty.filter(|ty| !is_understood(*ty)) {
        None => Ok(()),
        Some(ty) => Err(at.error(format!(
            "{what} is {ty}, which the embedded warehouse only passes through (STRUCT and ARRAY as JSON): \
             take it as a column of the list by itself"
        ))),
    }
}

/// Converts expressions to the one type that all can take; `None` if all are bare NULLs.
pub(super) fn unify(
    parts: Vec<Typed>,
    what: &str,
) -> Result<(Vec<Typed>, Option<ColumnType>), SqlError> {
    let has = |ty| parts.iter().any(|part| part.ty == Some(ty));
    let target = if has(ColumnType::Float64) {
        Some(ColumnType::Float64)
    } else if has(ColumnType::Timestamp) {
        Some(ColumnType::Timestamp)
    } else {
        parts.iter().find_map(|part| part.ty)
    };
    let Some(target) = target else {
        return Ok((parts, None));
    };
    let converted = parts
        .into_iter()
        .map(|part| part.coerce(target, what))
        .collect::<Result<_, _>>()?;
    Ok((converted, Some(target)))
}

/// Joins the SQLite texts with commas.
pub(super) fn list(parts: &[Typed]) -> String {
    parts
        .iter()
        .map(|part| part.sql.as_str())
        .collect::<Vec<_>>()
        .join(", ")
}
