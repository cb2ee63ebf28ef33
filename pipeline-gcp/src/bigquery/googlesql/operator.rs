//! Operators: arithmetic, comparison, logic, concatenation.

use sqlparser::ast::{BinaryOperator, Expr, Spanned, UnaryOperator, Value};

use super::error::{Position, SqlError};
use super::literal;
use super::scope::Context;
use super::translator::Translator;
use super::typed::{Typed, unify};
use crate::bigquery::schema::ColumnType;

impl Translator<'_> {
    /// Translates a chain such as `a + b + c`, however long, from left to right.
    pub fn binary_chain(
        &mut self,
        expr: &Expr,
        context: &Context<'_>,
        at: Position,
    ) -> Result<Typed, SqlError> {
        let mut pending = Vec::new();
        let mut first = expr;
        while let Expr::BinaryOp { left, op, right } = first {
            if is_comparison(op) {
                refuse_chained(&[left, right], at)?;
            }
            pending.push((left.as_ref(), op, right.as_ref()));
            first = left;
        }
        let mut value = self.expr(first, context, at)?;
        for (left, op, right) in pending.into_iter().rev() {
            let operator_at = match left {
                Expr::BinaryOp { right, .. } => self.tokens.operator_after(right.span(), at),
                _ => self.tokens.operator_after(left.span(), at),
            };
            let right = self.expr(right, context, at)?;
            value = binary(value, op, right, operator_at)?;
            if value.ungrouped.is_some() && context.keys.contains(&value.sql) {
                value.ungrouped = None;
            }
        }
        Ok(value)
    }

    /// Translates the operands of a comparison, IN, LIKE, BETWEEN or IS.
    pub fn operands(
        &mut self,
        parts: &[&Expr],
        context: &Context<'_>,
        at: Position,
    ) -> Result<Vec<Typed>, SqlError> {
        refuse_chained(parts, at)?;
        parts
            .iter()
            .map(|part| self.expr(part, context, at))
            .collect()
    }

    /// Translates `IS [NOT] DISTINCT FROM`.
    pub fn comparison(
        &mut self,
        left: &Expr,
        operator: &str,
        right: &Expr,
        context: &Context<'_>,
        at: Position,
    ) -> Result<Typed, SqlError> {
        let (parts, _) = unify(
            self.operands(&[left, right], context, at)?,
            "each operand of IS DISTINCT FROM",
        )?;
        let sql = format!("({} {operator} {})", parts[0].sql, parts[1].sql);
        Ok(Typed::from_parts(sql, Some(ColumnType::Bool), at, &parts))
    }

    /// Translates `-x`, `+x` and `NOT x`.
    pub fn unary(
        &mut self,
        op: UnaryOperator,
        operand: &Expr,
        context: &Context<'_>,
        at: Position,
    ) -> Result<Typed, SqlError> {
        if let (UnaryOperator::Minus, Expr::Value(value)) = (op, operand)
            && let Value::Number(digits, false) = &value.value
        {
            return literal::number(digits, true, at);
        }
        let value = self.expr(operand, context, at)?;
        match op {
            UnaryOperator::Not => {
                let value = value.coerce(ColumnType::Bool, "the operand of NOT")?;
                Ok(Typed::from_parts(
                    format!("(NOT {})", value.sql),
                    Some(ColumnType::Bool),
                    at,
                    [&value],
                ))
            }
            UnaryOperator::Minus | UnaryOperator::Plus => {
                let ty = numeric(&value, "a sign")?;
                let sql = if op == UnaryOperator::Plus {
                    value.sql.clone()
                } else {
                    format!("gs_neg({})", value.sql)
                };
                Ok(Typed::from_parts(sql, Some(ty), at, [&value]))
            }
            _ => Err(at.error(format!(
                "the operator {op} is not supported; supported: -x, +x, NOT x"
            ))),
        }
    }
}

fn is_comparison(op: &BinaryOperator) -> bool {
    use BinaryOperator::{Eq, Gt, GtEq, Lt, LtEq, NotEq};
    matches!(op, Eq | NotEq | Lt | LtEq | Gt | GtEq)
}

/// Refuses `a < b < c`, `a = b IS NULL` and the like: GoogleSQL's comparisons do not associate, so it wants parentheses
/// (operators document: "comparison operators are not associative").
fn refuse_chained(parts: &[&Expr], fallback: Position) -> Result<(), SqlError> {
    for part in parts {
        let chained = match part {
            Expr::BinaryOp { op, .. } => is_comparison(op),
            Expr::InList { .. } | Expr::Between { .. } | Expr::Like { .. } => true,
            Expr::IsNull(_) | Expr::IsNotNull(_) | Expr::IsTrue(_) | Expr::IsNotTrue(_) => true,
            Expr::IsFalse(_) | Expr::IsNotFalse(_) => true,
            Expr::IsDistinctFrom(..) | Expr::IsNotDistinctFrom(..) => true,
            _ => false,
        };
        if chained {
            let at = Position::of(part.span(), fallback);
            return Err(
                at.error("comparisons do not chain in GoogleSQL; put parentheses around this one")
            );
        }
    }
    Ok(())
}

/// Checks that a value is a number; a bare NULL counts as INT64.
pub(super) fn numeric(value: &Typed, what: &str) -> Result<ColumnType, SqlError> {
    match value.ty {
        None => Ok(ColumnType::Int64),
        Some(ty @ (ColumnType::Int64 | ColumnType::Float64)) => Ok(ty),
        Some(ty) => Err(value
            .at
            .error(format!("{what} takes INT64 or FLOAT64, not {ty}"))),
    }
}

fn binary(left: Typed, op: &BinaryOperator, right: Typed, at: Position) -> Result<Typed, SqlError> {
    let start = left.at;
    let both = |ty: ColumnType, left: Typed, right: Typed| -> Result<[Typed; 2], SqlError> {
        let what = format!("each operand of {op}");
        Ok([left.coerce(ty, &what)?, right.coerce(ty, &what)?])
    };
    let (sql, ty, parts) = match op {
        BinaryOperator::Plus | BinaryOperator::Minus | BinaryOperator::Multiply => {
            if [&left, &right]
                .iter()
                .any(|side| side.ty == Some(ColumnType::Timestamp))
            {
                return Err(at.error(
                    "TIMESTAMP takes no arithmetic operator; use TIMESTAMP_ADD, TIMESTAMP_SUB or TIMESTAMP_DIFF",
                ));
            }
            let float = [
                numeric(&left, &op.to_string())?,
                numeric(&right, &op.to_string())?,
            ]
            .contains(&ColumnType::Float64);
            let ty = if float {
                ColumnType::Float64
            } else {
                ColumnType::Int64
            };
            let name = match op {
                BinaryOperator::Plus => "gs_add",
                BinaryOperator::Minus => "gs_sub",
                _ => "gs_mul",
            };
            let parts = both(ty, left, right)?;
            (
                format!("{name}({}, {})", parts[0].sql, parts[1].sql),
                ty,
                parts,
            )
        }
        BinaryOperator::Divide => {
            numeric(&left, "/")?;
            numeric(&right, "/")?;
            let parts = both(ColumnType::Float64, left, right)?;
            (
                format!("gs_div({}, {})", parts[0].sql, parts[1].sql),
                ColumnType::Float64,
                parts,
            )
        }
        BinaryOperator::StringConcat => {
            let parts = both(ColumnType::String, left, right)?;
            (
                format!("({} || {})", parts[0].sql, parts[1].sql),
                ColumnType::String,
                parts,
            )
        }
        BinaryOperator::And | BinaryOperator::Or => {
            let parts = both(ColumnType::Bool, left, right)?;
            (
                format!("({} {op} {})", parts[0].sql, parts[1].sql),
                ColumnType::Bool,
                parts,
            )
        }
        _ if is_comparison(op) => {
            let (parts, _) = unify(vec![left, right], &format!("each operand of {op}"))?;
            let sql = format!("({} {op} {})", parts[0].sql, parts[1].sql);
            return Ok(Typed::from_parts(
                sql,
                Some(ColumnType::Bool),
                start,
                &parts,
            ));
        }
        _ => {
            return Err(at.error(format!(
                "the operator {op} is not supported; supported: + - * / || = != < <= > >= AND OR, and DIV() and MOD()"
            )));
        }
    };
    Ok(Typed::from_parts(sql, Some(ty), start, &parts))
}
