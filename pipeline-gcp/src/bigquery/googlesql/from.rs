//! FROM: tables, views, common table expressions, subqueries and joins.

use sqlparser::ast::{
    Join, JoinConstraint, JoinOperator, Spanned, TableAlias, TableFactor, TableWithJoins,
};

use super::error::{Position, SqlError};
use super::parse::{alias_name, last_part};
use super::query::{OutputColumn, Relation};
use super::scope::{Context, Scope, ScopeColumn, same};
use super::translator::Translator;
use super::typed::understood;
use crate::bigquery::schema::ColumnType;

/// A table of FROM, ready to be joined.
struct Source {
    sql: String,
    qualifier: Option<String>,
    columns: Vec<ScopeColumn>,
    at: Position,
}

impl Translator<'_> {
    /// Translates FROM; an empty text if there is none.
    pub fn from(
        &mut self,
        from: &[TableWithJoins],
        at: Position,
    ) -> Result<(String, Scope), SqlError> {
        let mut scope = Scope::default();
        let table = match from {
            [] => return Ok((String::new(), scope)),
            [table] => table,
            [_, second, ..] => {
                let at = Position::of(second.span(), at);
                return Err(
                    at.error("a comma between tables is not supported; write INNER JOIN … ON")
                );
            }
        };
        let first = self.source(&table.relation, at)?;
        let mut sql = format!(" FROM {}", first.sql);
        scope.add(first.qualifier.as_deref(), first.columns, first.at)?;
        for join in &table.joins {
            sql.push_str(&self.join(join, &mut scope, first.at)?);
        }
        Ok((sql, scope))
    }

    fn join(&mut self, join: &Join, scope: &mut Scope, at: Position) -> Result<String, SqlError> {
        let right = self.source(&join.relation, at)?;
        let (keyword, constraint) = match &join.join_operator {
            JoinOperator::Join(constraint) | JoinOperator::Inner(constraint) => {
                ("INNER JOIN", constraint)
            }
            JoinOperator::Left(constraint) | JoinOperator::LeftOuter(constraint) => {
                ("LEFT JOIN", constraint)
            }
            _ => {
                return Err(right.at.error(
                    "this kind of join is not supported; supported: INNER JOIN, LEFT JOIN",
                ));
            }
        };
        if join.global {
            return Err(right.at.error("GLOBAL is not supported"));
        }
        let condition = match constraint {
            JoinConstraint::On(condition) => {
                scope.add(right.qualifier.as_deref(), right.columns, right.at)?;
                let context = Context {
                    scope,
                    keys: &[],
                    aliases: &[],
                };
                self.condition(condition, &context, "ON", right.at)?.sql
            }
            JoinConstraint::Using(names) => {
                let mut equalities = Vec::new();
                let mut shared = Vec::new();
                let first_right = scope.columns.len();
                let mut merged = scope.clone();
                merged.add(right.qualifier.as_deref(), right.columns, right.at)?;
                for name in names {
                    let (name, at) = last_part(name, right.at)?;
                    let missing =
                        || at.error(format!("USING: both sides need one column `{name}`"));
                    let left = scope.find(None, &name, at)?.ok_or_else(missing)?;
                    let mut fits = (first_right..merged.columns.len())
                        .filter(|&at| same(merged.columns[at].name.as_deref(), &name));
                    let (Some(right), None) = (fits.next(), fits.next()) else {
                        return Err(missing());
                    };
                    let column = &mut merged.columns[right];
                    if left.ty != Some(column.ty) {
                        let types = (left.type_name(), column.ty);
                        return Err(at.error(format!(
                            "USING: `{name}` is {} here and {} there",
                            types.0, types.1
                        )));
                    }
                    understood(left.ty, &format!("USING: `{name}`"), at)?;
                    column.bare = false;
                    equalities.push(format!("{} = {}", left.sql, column.sql));
                    merged.star.retain(|&at| at != right);
                    shared.extend(
                        merged
                            .columns
                            .iter()
                            .position(|column| column.sql == left.sql),
                    );
                }
                merged.star.retain(|at| !shared.contains(at));
                merged.star.splice(0..0, shared);
                *scope = merged;
                format!("({})", equalities.join(" AND "))
            }
            JoinConstraint::Natural | JoinConstraint::None => {
                return Err(right.at.error("a join needs ON or USING"));
            }
        };
        Ok(format!(" {keyword} {} ON {condition}", right.sql))
    }

    fn source(&mut self, factor: &TableFactor, at: Position) -> Result<Source, SqlError> {
        let here = Position::of(factor.span(), at);
        match factor {
            TableFactor::Table {
                name,
                alias,
                args: None,
                with_hints,
                version: None,
                with_ordinality: false,
                partitions,
                json_path: None,
                sample: None,
                index_hints,
            } if with_hints.is_empty() && partitions.is_empty() && index_hints.is_empty() => {
                let (table, here) = last_part(name, here)?;
                let relation = self.named(&table, name.0.len() == 1, here)?;
                self.aliased(relation, alias.as_ref(), Some(table), here)
            }
            TableFactor::Derived {
                lateral: false,
                subquery,
                alias,
                sample: None,
            } => {
                let relation = self.query(subquery)?;
                let relation = Relation {
                    sql: format!("({})", relation.sql),
                    ..relation
                };
                self.aliased(relation, alias.as_ref(), None, here)
            }
            _ => Err(here
                .error("FROM takes tables, views, names of WITH and subqueries, without options")),
        }
    }

    fn named(&mut self, name: &str, bare: bool, at: Position) -> Result<Relation, SqlError> {
        let cte = self
            .ctes
            .iter()
            .rev()
            .find(|cte| bare && same(Some(&cte.name), name));
        match cte {
            Some(cte) => Ok(Relation {
                sql: cte.sql_name.clone(),
                columns: cte.columns.clone(),
            }),
            None => self.nested(at, |this| this.object(name, at)),
        }
    }

    fn aliased(
        &mut self,
        relation: Relation,
        alias: Option<&TableAlias>,
        name: Option<String>,
        at: Position,
    ) -> Result<Source, SqlError> {
        if let Some(alias) = alias.filter(|alias| !alias.columns.is_empty() || alias.at.is_some()) {
            let at = Position::of(alias.name.span, at);
            return Err(at.error("an alias with a list of columns is not supported"));
        }
        let qualifier = alias
            .map(|alias| alias_name(&alias.name, at))
            .transpose()?
            .or(name);
        let sql_name = self.fresh("t");
        let column = |column: OutputColumn| ScopeColumn {
            qualifier: qualifier.clone(),
            sql: format!("{sql_name}.{}", column.sql),
            name: column.name,
            ty: column.ty.unwrap_or(ColumnType::Int64),
            bare: true,
        };
        let columns = relation.columns.into_iter().map(column).collect();
        Ok(Source {
            sql: format!("{} AS {sql_name}", relation.sql),
            qualifier,
            columns,
            at,
        })
    }
}
