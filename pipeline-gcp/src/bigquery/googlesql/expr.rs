//! Expressions: the node kinds that are understood, each with its type.

use sqlparser::ast::{AccessExpr, CaseWhen, CastKind, Expr, Spanned, Subscript};

use super::error::{Position, SqlError};
use super::literal;
use super::scope::Context;
use super::translator::Translator;
use super::typed::{Typed, list, understood, unify};
use crate::bigquery::schema::ColumnType;

impl Translator<'_> {
    /// Translates an expression and checks its types.
    pub fn expr(
        &mut self,
        expr: &Expr,
        context: &Context<'_>,
        fallback: Position,
    ) -> Result<Typed, SqlError> {
        let at = Position::of(expr.span(), fallback);
        let mut typed = self.nested(at, |this| this.expr_kind(expr, context, at))?;
        if typed.ungrouped.is_some() && context.keys.contains(&typed.sql) {
            typed.ungrouped = None;
        }
        Ok(typed)
    }

    /// Translates an expression that has to be BOOL.
    pub fn truth(
        &mut self,
        expr: &Expr,
        context: &Context<'_>,
        what: &str,
        at: Position,
    ) -> Result<Typed, SqlError> {
        self.expr(expr, context, at)?.coerce(ColumnType::Bool, what)
    }

    /// Translates the condition of a clause in which nothing is aggregated yet.
    pub fn condition(
        &mut self,
        expr: &Expr,
        context: &Context<'_>,
        clause: &str,
        at: Position,
    ) -> Result<Typed, SqlError> {
        self.truth(expr, context, clause, at)?.plain(clause)
    }

    /// Resolves the name of a column, of any type; an expression of another kind is translated.
    pub fn column(
        &mut self,
        expr: &Expr,
        context: &Context<'_>,
        at: Position,
    ) -> Result<Typed, SqlError> {
        let mut typed = match expr {
            Expr::Identifier(ident) => context.name(&ident.value, at)?,
            Expr::CompoundIdentifier(parts) => match parts.as_slice() {
                [table, column] => {
                    let found = context.scope.find(Some(&table.value), &column.value, at)?;
                    found.ok_or_else(|| {
                        at.error(format!(
                            "there is no column `{}.{}`",
                            table.value, column.value
                        ))
                    })?
                }
                _ => {
                    return Err(at.error(
                        "a column is written column or alias.column; give the table an alias",
                    ));
                }
            },
            _ => return self.expr(expr, context, at),
        };
        if typed.ungrouped.is_some() && context.keys.contains(&typed.sql) {
            typed.ungrouped = None;
        }
        Ok(typed)
    }

    fn expr_kind(
        &mut self,
        expr: &Expr,
        context: &Context<'_>,
        at: Position,
    ) -> Result<Typed, SqlError> {
        match expr {
            Expr::Value(value) => literal::literal(value, at),
            Expr::TypedString(value) => literal::typed_string(value, at),
            Expr::Identifier(_) | Expr::CompoundIdentifier(_) => {
                let column = self.column(expr, context, at)?;
                understood(column.ty, &format!("`{expr}`"), at)?;
                Ok(column)
            }
            Expr::Nested(inner) => self.expr(inner, context, at),
            Expr::BinaryOp { .. } => self.binary_chain(expr, context, at),
            Expr::UnaryOp { op, expr } => self.unary(*op, expr, context, at),
            Expr::IsNull(inner) => self.is(inner, "IS NULL", None, context, at),
            Expr::IsNotNull(inner) => self.is(inner, "IS NOT NULL", None, context, at),
            Expr::IsTrue(inner) => self.is(inner, "IS 1", Some(ColumnType::Bool), context, at),
            Expr::IsNotTrue(inner) => {
                self.is(inner, "IS NOT 1", Some(ColumnType::Bool), context, at)
            }
            Expr::IsFalse(inner) => self.is(inner, "IS 0", Some(ColumnType::Bool), context, at),
            Expr::IsNotFalse(inner) => {
                self.is(inner, "IS NOT 0", Some(ColumnType::Bool), context, at)
            }
            Expr::IsDistinctFrom(left, right) => {
                self.comparison(left, "IS NOT", right, context, at)
            }
            Expr::IsNotDistinctFrom(left, right) => self.comparison(left, "IS", right, context, at),
            Expr::InList {
                expr,
                list,
                negated,
            } => self.in_list(expr, list, *negated, context, at),
            Expr::Between {
                expr,
                negated,
                low,
                high,
            } => {
                let parts = self.operands(&[expr, low, high], context, at)?;
                let (parts, _) = unify(parts, "each operand of BETWEEN")?;
                let not = if *negated { " NOT" } else { "" };
                let sql = format!(
                    "({}{not} BETWEEN {} AND {})",
                    parts[0].sql, parts[1].sql, parts[2].sql
                );
                Ok(Typed::from_parts(sql, Some(ColumnType::Bool), at, &parts))
            }
            Expr::Like {
                negated,
                any: false,
                expr,
                pattern,
                escape_char: None,
            } => {
                let mut parts = Vec::new();
                for part in self.operands(&[expr, pattern], context, at)? {
                    parts.push(part.coerce(ColumnType::String, "each operand of LIKE")?);
                }
                let not = if *negated { "NOT " } else { "" };
                Ok(Typed::from_parts(
                    format!("({not}gs_like({}))", list(&parts)),
                    Some(ColumnType::Bool),
                    at,
                    &parts,
                ))
            }
            Expr::Case {
                operand,
                conditions,
                else_result,
                ..
            } => self.case(
                operand.as_deref(),
                conditions,
                else_result.as_deref(),
                context,
                at,
            ),
            Expr::Cast {
                kind: kind @ (CastKind::Cast | CastKind::SafeCast),
                expr,
                data_type,
                format: None,
            } => {
                let value = self.expr(expr, context, at)?;
                super::cast::cast(value, data_type, *kind == CastKind::SafeCast, at)
            }
            Expr::Extract { field, expr, .. } => self.extract(field, expr, context, at),
            Expr::Substring {
                expr,
                substring_from: Some(from),
                substring_for,
                special: true,
                ..
            } => {
                let mut args = vec![expr.as_ref(), from.as_ref()];
                args.extend(substring_for.as_deref());
                self.scalar("SUBSTR", &args, context, at)
            }
            Expr::Function(function) => self.function(function, context, at),
            Expr::CompoundFieldAccess { root, access_chain } => {
                match (root.as_ref(), access_chain.as_slice()) {
                    (
                        Expr::Function(function),
                        [AccessExpr::Subscript(Subscript::Index { index })],
                    ) => self.array_element(function, index, context, at),
                    _ => Err(at.error(
                        "a field or element is only understood after ARRAY_AGG(…): [OFFSET(0)]",
                    )),
                }
            }
            Expr::Subquery(_) | Expr::Exists { .. } | Expr::InSubquery { .. } => {
                Err(at.error("a subquery in an expression is not supported; join it in FROM"))
            }
            other => Err(at.error(format!(
                "this expression is not supported: {}",
                shorten(&other.to_string())
            ))),
        }
    }

    fn is(
        &mut self,
        inner: &Expr,
        test: &str,
        ty: Option<ColumnType>,
        context: &Context<'_>,
        at: Position,
    ) -> Result<Typed, SqlError> {
        let mut operands = self.operands(&[inner], context, at)?;
        let mut value = operands.remove(0);
        if let Some(ty) = ty {
            value = value.coerce(ty, "the operand of IS TRUE or IS FALSE")?;
        }
        Ok(Typed::from_parts(
            format!("({} {test})", value.sql),
            Some(ColumnType::Bool),
            at,
            [&value],
        ))
    }

    fn in_list(
        &mut self,
        expr: &Expr,
        values: &[Expr],
        negated: bool,
        context: &Context<'_>,
        at: Position,
    ) -> Result<Typed, SqlError> {
        let mut parts = self.operands(&[expr], context, at)?;
        for value in values {
            parts.push(self.expr(value, context, at)?);
        }
        let (parts, _) = unify(parts, "each value of IN")?;
        let not = if negated { " NOT" } else { "" };
        let sql = format!("({}{not} IN ({}))", parts[0].sql, list(&parts[1..]));
        Ok(Typed::from_parts(sql, Some(ColumnType::Bool), at, &parts))
    }

    fn case(
        &mut self,
        operand: Option<&Expr>,
        branches: &[CaseWhen],
        otherwise: Option<&Expr>,
        context: &Context<'_>,
        at: Position,
    ) -> Result<Typed, SqlError> {
        let (mut conditions, mut results) = (Vec::new(), Vec::new());
        let operand = operand
            .map(|operand| self.expr(operand, context, at))
            .transpose()?;
        let compares = operand.is_some();
        conditions.extend(operand);
        for branch in branches {
            let condition = self.expr(&branch.condition, context, at)?;
            let condition = if compares {
                condition
            } else {
                condition.coerce(ColumnType::Bool, "WHEN")?
            };
            conditions.push(condition);
            results.push(self.expr(&branch.result, context, at)?);
        }
        let has_else = otherwise.is_some();
        if let Some(otherwise) = otherwise {
            results.push(self.expr(otherwise, context, at)?);
        }
        let (conditions, _) = unify(conditions, "each WHEN")?;
        let (results, ty) = unify(results, "each result of CASE")?;
        let mut sql = "(CASE".to_owned();
        let mut tests = conditions.iter();
        if compares && let Some(operand) = tests.next() {
            sql.push_str(&format!(" {}", operand.sql));
        }
        for (test, result) in tests.zip(&results) {
            sql.push_str(&format!(" WHEN {} THEN {}", test.sql, result.sql));
        }
        if has_else && let Some(result) = results.last() {
            sql.push_str(&format!(" ELSE {}", result.sql));
        }
        sql.push_str(" END)");
        Ok(Typed::from_parts(
            sql,
            ty,
            at,
            conditions.iter().chain(&results),
        ))
    }
}

/// Cuts the text of a node for a message.
pub(super) fn shorten(text: &str) -> String {
    match text.char_indices().nth(40) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}
