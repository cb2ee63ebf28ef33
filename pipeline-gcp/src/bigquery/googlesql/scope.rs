//! The names that expressions of one SELECT can use.

use super::error::{Position, SqlError};
use super::typed::Typed;
use crate::bigquery::schema::ColumnType;

/// A column that FROM brings.
#[derive(Debug, Clone)]
pub(super) struct ScopeColumn {
    /// Alias of its table; `None` for a subquery without one.
    pub qualifier: Option<String>,
    /// Name; `None` for an expression that was given none.
    pub name: Option<String>,
    /// SQLite text.
    pub sql: String,
    pub ty: ColumnType,
    /// Whether it is found without its qualifier (the right side of USING is not).
    pub bare: bool,
}

/// The columns of FROM in order.
#[derive(Debug, Clone, Default)]
pub(super) struct Scope {
    pub columns: Vec<ScopeColumn>,
    /// Columns of `*`, by position.
    pub star: Vec<usize>,
}

impl Scope {
    /// Adds a table's columns; two tables of one alias are refused.
    pub fn add(
        &mut self,
        qualifier: Option<&str>,
        columns: Vec<ScopeColumn>,
        at: Position,
    ) -> Result<(), SqlError> {
        if let Some(alias) = qualifier
            && self
                .columns
                .iter()
                .any(|column| same(column.qualifier.as_deref(), alias))
        {
            return Err(at.error(format!(
                "the alias `{alias}` stands twice in FROM; give each table its own"
            )));
        }
        let first = self.columns.len();
        self.star.extend(first..first + columns.len());
        self.columns.extend(columns);
        Ok(())
    }

    /// Finds a column; `Ok(None)` if there is none of that name.
    pub fn find(
        &self,
        qualifier: Option<&str>,
        name: &str,
        at: Position,
    ) -> Result<Option<Typed>, SqlError> {
        let mut found = None;
        for column in &self.columns {
            let fits = match qualifier {
                Some(alias) => same(column.qualifier.as_deref(), alias),
                None => column.bare,
            };
            if fits && same(column.name.as_deref(), name) {
                if found.is_some() {
                    return Err(at.error(format!(
                        "`{name}` is ambiguous; put the table's alias before it"
                    )));
                }
                found = Some(column.typed(at));
            }
        }
        Ok(found)
    }

    /// Lists the names for a message.
    pub fn names(&self) -> String {
        let names: Vec<_> = self
            .star
            .iter()
            .filter_map(|&at| self.columns[at].name.as_deref())
            .collect();
        if names.is_empty() {
            "none".to_owned()
        } else {
            names.join(", ")
        }
    }
}

impl ScopeColumn {
    /// Gives the column as an expression.
    pub fn typed(&self, at: Position) -> Typed {
        let mut typed = Typed::from_parts(self.sql.clone(), Some(self.ty), at, []);
        typed.ungrouped = Some((self.name.clone().unwrap_or_default(), at));
        typed
    }
}

/// Compares names without case, as GoogleSQL does for columns and aliases.
pub(super) fn same(name: Option<&str>, other: &str) -> bool {
    name.is_some_and(|name| name.eq_ignore_ascii_case(other))
}

/// An output column of a SELECT that later clauses can name.
#[derive(Debug, Clone)]
pub(super) struct Alias {
    pub name: String,
    pub value: Typed,
}

/// What an expression may refer to.
#[derive(Clone, Copy)]
pub(super) struct Context<'a> {
    pub scope: &'a Scope,
    /// SQLite texts of the grouping keys.
    pub keys: &'a [String],
    /// Output columns visible in this clause.
    pub aliases: &'a [Alias],
}

impl Context<'_> {
    /// Resolves a name without a qualifier; a name that means two things is refused.
    pub fn name(&self, name: &str, at: Position) -> Result<Typed, SqlError> {
        let column = self.scope.find(None, name, at)?;
        let mut aliases = self
            .aliases
            .iter()
            .filter(|alias| same(Some(&alias.name), name));
        let resolved = match (column, aliases.next(), aliases.next()) {
            (Some(column), None, _) => column,
            (Some(column), Some(alias), None) if alias.value.sql == column.sql => column,
            (None, Some(alias), None) => Typed {
                at,
                ..alias.value.clone()
            },
            (None, None, _) => {
                let names = self.scope.names();
                return Err(at.error(format!(
                    "there is no column `{name}`; columns here: {names}"
                )));
            }
            _ => {
                return Err(at.error(format!(
                    "`{name}` is both a column and an alias, or several aliases; name the table, or rename the alias"
                )));
            }
        };
        Ok(resolved)
    }
}
