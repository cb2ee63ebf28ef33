//! A whole query: WITH, set operations, ORDER BY, LIMIT.

use sqlparser::ast::{
    Expr, LimitClause, OrderByExpr, OrderByKind, Query, SetExpr, SetOperator, SetQuantifier,
    Spanned, Value, With,
};

use super::error::{Position, SqlError};
use super::parse::alias_name;
use super::scope::same;
use super::select::Plan;
use super::translator::{Cte, Translator};
use super::typed::{Typed, understood, unify};
use crate::bigquery::schema::ColumnType;

/// A column that a query gives.
#[derive(Debug, Clone)]
pub(super) struct OutputColumn {
    pub name: Option<String>,
    /// Name in SQLite.
    pub sql: String,
    /// Type; `None` for a bare NULL.
    pub ty: Option<ColumnType>,
    pub at: Position,
}

/// A SQLite SELECT (or table name) and its columns.
#[derive(Debug)]
pub(super) struct Relation {
    pub sql: String,
    pub columns: Vec<OutputColumn>,
}

impl Translator<'_> {
    /// Translates a query to a SELECT whose columns are named `c0`, `c1`, ….
    pub fn query(&mut self, query: &Query) -> Result<Relation, SqlError> {
        let at = Position::of(query.span(), Position::START);
        let visible = self.ctes.len();
        let relation = self.nested(at, |this| this.query_with(query, at));
        self.ctes.truncate(visible);
        relation
    }

    fn query_with(&mut self, query: &Query, at: Position) -> Result<Relation, SqlError> {
        self.refuse_query_clauses(query, at)?;
        let with = query
            .with
            .as_ref()
            .map(|with| self.with(with))
            .transpose()?
            .unwrap_or_default();
        let order_by = match query.order_by.as_ref().map(|order_by| &order_by.kind) {
            None => &[],
            Some(OrderByKind::Expressions(terms)) => terms.as_slice(),
            Some(OrderByKind::All(_)) => {
                return Err(self
                    .tokens
                    .keyword("ORDER", at)
                    .error("ORDER BY ALL is not supported; name the columns"));
            }
        };
        let plan = match query.body.as_ref() {
            SetExpr::Select(select) => self.select(select, order_by, at)?,
            body => {
                let relation = self.set_expr(body, at)?;
                let order = self.order_by_outputs(order_by, &relation.columns, at)?;
                Plan {
                    body: relation.sql,
                    columns: relation.columns,
                    filter: None,
                    order,
                }
            }
        };
        let limit = self.limit(query.limit_clause.as_ref(), at)?;
        let mut sql = with;
        if plan.filter.is_none() && plan.order.is_empty() && limit.is_empty() {
            sql.push_str(&plan.body);
        } else {
            let names: Vec<_> = plan
                .columns
                .iter()
                .map(|column| column.sql.as_str())
                .collect();
            let source = self.fresh("q");
            sql.push_str(&format!(
                "SELECT {} FROM ({}) AS {source}",
                names.join(", "),
                plan.body
            ));
            if let Some(filter) = plan.filter {
                sql.push_str(&format!(" WHERE {filter}"));
            }
            if !plan.order.is_empty() {
                sql.push_str(&format!(" ORDER BY {}", plan.order.join(", ")));
            }
            sql.push_str(&limit);
        }
        Ok(Relation {
            sql,
            columns: plan.columns,
        })
    }

    fn refuse_query_clauses(&self, query: &Query, at: Position) -> Result<(), SqlError> {
        let refused = [
            (query.fetch.is_some(), "FETCH"),
            (!query.locks.is_empty() || query.for_clause.is_some(), "FOR"),
            (query.settings.is_some(), "SETTINGS"),
            (query.format_clause.is_some(), "FORMAT"),
            (
                query
                    .order_by
                    .as_ref()
                    .is_some_and(|order_by| order_by.interpolate.is_some()),
                "INTERPOLATE",
            ),
        ];
        if let Some((_, keyword)) = refused.iter().find(|(there, _)| *there) {
            return Err(self
                .tokens
                .keyword(keyword, at)
                .error(format!("{keyword} is not supported")));
        }
        if !query.pipe_operators.is_empty() {
            return Err(at.error("pipe syntax (|>) is not supported; write SELECT … FROM …"));
        }
        Ok(())
    }

    fn with(&mut self, with: &With) -> Result<String, SqlError> {
        let at = Position::of(with.with_token.0.span, Position::START);
        if with.recursive {
            return Err(at.error("WITH RECURSIVE is not supported"));
        }
        let first = self.ctes.len();
        let mut parts = Vec::new();
        for cte in &with.cte_tables {
            let at = Position::of(cte.alias.name.span, at);
            if !cte.alias.columns.is_empty()
                || cte.from.is_some()
                || cte.materialized.is_some()
                || cte.alias.at.is_some()
            {
                return Err(at.error(
                    "only WITH name AS (query) is supported, without a list of columns or options",
                ));
            }
            let name = alias_name(&cte.alias.name, at)?;
            if self.ctes[first..]
                .iter()
                .any(|other| same(Some(&other.name), &name))
            {
                return Err(at.error(format!("WITH names `{name}` twice")));
            }
            let relation = self.query(&cte.query)?;
            let sql_name = self.fresh("w");
            parts.push(format!("{sql_name} AS ({})", relation.sql));
            self.ctes.push(Cte {
                name,
                sql_name,
                columns: relation.columns,
            });
        }
        Ok(format!("WITH {} ", parts.join(", ")))
    }

    fn set_expr(&mut self, body: &SetExpr, at: Position) -> Result<Relation, SqlError> {
        let here = Position::of(body.span(), at);
        match body {
            SetExpr::Query(query) => self.query(query),
            SetExpr::Select(select) => {
                let plan = self.select(select, &[], here)?;
                let names: Vec<_> = plan
                    .columns
                    .iter()
                    .map(|column| column.sql.as_str())
                    .collect();
                let filter = plan
                    .filter
                    .map(|filter| format!(" WHERE {filter}"))
                    .unwrap_or_default();
                let source = self.fresh("q");
                let sql = format!(
                    "SELECT {} FROM ({}) AS {source}{filter}",
                    names.join(", "),
                    plan.body
                );
                Ok(Relation {
                    sql,
                    columns: plan.columns,
                })
            }
            SetExpr::SetOperation {
                left,
                op,
                set_quantifier,
                right,
            } => {
                let operator = match (op, set_quantifier) {
                    (SetOperator::Union, SetQuantifier::All) => "UNION ALL",
                    (SetOperator::Union, SetQuantifier::Distinct) => "UNION",
                    _ => {
                        let at = self.tokens.operator_after(left.span(), here);
                        return Err(at.error(format!(
                            "{op} {set_quantifier} is not supported; supported: UNION ALL, UNION DISTINCT"
                        )));
                    }
                };
                let left = self.nested(here, |this| this.set_expr(left, here))?;
                let right_at = Position::of(right.span(), here);
                let right = self.nested(right_at, |this| this.set_expr(right, right_at))?;
                self.union(left, operator, right, right_at)
            }
            _ => Err(here.error("only SELECT, parentheses and UNION make a query")),
        }
    }

    fn union(
        &mut self,
        left: Relation,
        operator: &str,
        right: Relation,
        at: Position,
    ) -> Result<Relation, SqlError> {
        if left.columns.len() != right.columns.len() {
            let (here, there) = (left.columns.len(), right.columns.len());
            return Err(at.error(format!(
                "UNION joins {here} columns with {there}; both sides need as many"
            )));
        }
        let (mut columns, mut left_sql, mut right_sql) = (Vec::new(), Vec::new(), Vec::new());
        for (position, (here, there)) in left.columns.iter().zip(&right.columns).enumerate() {
            let side = |column: &OutputColumn| {
                Typed::from_parts(column.sql.clone(), column.ty, column.at, [])
            };
            let (parts, ty) = unify(
                vec![side(here), side(there)],
                &format!("column {} of UNION", position + 1),
            )?;
            if operator != "UNION ALL" {
                understood(ty, "a column of UNION DISTINCT", here.at)?;
            }
            let name = format!("c{position}");
            left_sql.push(format!("{} AS {name}", parts[0].sql));
            right_sql.push(format!("{} AS {name}", parts[1].sql));
            columns.push(OutputColumn {
                name: here.name.clone(),
                sql: name,
                ty,
                at: here.at,
            });
        }
        let sql = format!(
            "SELECT {} FROM ({}) {operator} SELECT {} FROM ({})",
            left_sql.join(", "),
            left.sql,
            right_sql.join(", "),
            right.sql
        );
        Ok(Relation { sql, columns })
    }

    /// Translates ORDER BY where only the output columns can be named: after a set operation.
    fn order_by_outputs(
        &mut self,
        terms: &[OrderByExpr],
        columns: &[OutputColumn],
        at: Position,
    ) -> Result<Vec<String>, SqlError> {
        let mut order = Vec::new();
        for term in terms {
            let here = Position::of(term.span(), at);
            let sql = match &term.expr {
                Expr::Identifier(ident) => {
                    let mut named = columns
                        .iter()
                        .filter(|column| same(column.name.as_deref(), &ident.value));
                    match (named.next(), named.next()) {
                        (Some(column), None) => column.sql.clone(),
                        _ => {
                            return Err(
                                here.error(format!("`{}` names no one output column", ident.value))
                            );
                        }
                    }
                }
                expr => match ordinal(expr, columns.len(), here)? {
                    Some(position) => columns[position].sql.clone(),
                    None => {
                        return Err(here.error(
                            "after UNION, ORDER BY takes output columns and their numbers",
                        ));
                    }
                },
            };
            let ty = columns.iter().find(|c| c.sql == sql).and_then(|c| c.ty);
            understood(ty, "a term of ORDER BY", here)?;
            order.push(format!("{sql}{}", self.direction(term, here)?));
        }
        Ok(order)
    }

    /// Writes ASC or DESC with GoogleSQL's place of NULLs: first when ascending, last when descending.
    pub fn direction(&self, term: &OrderByExpr, at: Position) -> Result<&'static str, SqlError> {
        use sqlparser::ast::OrderBySort;
        if term.with_fill.is_some() {
            return Err(at.error("WITH FILL is not supported"));
        }
        let descending = match &term.options.sort {
            None | Some(OrderBySort::Asc) => false,
            Some(OrderBySort::Desc) => true,
            Some(_) => return Err(at.error("ORDER BY takes ASC or DESC only")),
        };
        Ok(match (descending, term.options.nulls_first) {
            (false, None | Some(true)) => " ASC NULLS FIRST",
            (false, Some(false)) => " ASC NULLS LAST",
            (true, None | Some(false)) => " DESC NULLS LAST",
            (true, Some(true)) => " DESC NULLS FIRST",
        })
    }

    fn limit(&self, clause: Option<&LimitClause>, at: Position) -> Result<String, SqlError> {
        let at = self.tokens.keyword("LIMIT", at);
        match clause {
            None => Ok(String::new()),
            Some(LimitClause::LimitOffset {
                limit: Some(limit),
                offset,
                limit_by,
            }) if limit_by.is_empty() => {
                let limit = whole_number(limit, at)?;
                let offset = offset
                    .as_ref()
                    .map_or(Ok(0), |offset| whole_number(&offset.value, at))?;
                Ok(format!(" LIMIT {limit} OFFSET {offset}"))
            }
            Some(_) => Err(at.error("only LIMIT n [OFFSET m] is supported")),
        }
    }
}

/// Reads a non-negative whole number, as LIMIT, OFFSET and array positions take.
pub(super) fn whole_number(expr: &Expr, fallback: Position) -> Result<i64, SqlError> {
    let at = Position::of(expr.span(), fallback);
    let number = match expr {
        Expr::Value(value) => match &value.value {
            Value::Number(digits, false) => digits.parse().ok(),
            _ => None,
        },
        _ => None,
    };
    number.ok_or_else(|| at.error("a whole number from 0 on is expected here"))
}

/// Reads a column number of GROUP BY or ORDER BY, counted from 1; `None` if it is another expression.
pub(super) fn ordinal(
    expr: &Expr,
    columns: usize,
    at: Position,
) -> Result<Option<usize>, SqlError> {
    let Expr::Value(value) = expr else {
        return Ok(None);
    };
    if !matches!(value.value, Value::Number(..)) {
        return Ok(None);
    }
    let number = usize::try_from(whole_number(expr, at)?).unwrap_or(0);
    if (1..=columns).contains(&number) {
        return Ok(Some(number - 1));
    }
    Err(at.error(format!(
        "column number {number} is not between 1 and {columns}"
    )))
}
