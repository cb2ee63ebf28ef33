//! Aggregates, ARRAY_AGG with an element taken from it included.

use sqlparser::ast::{
    DuplicateTreatment, Expr, Function, FunctionArg, FunctionArgExpr, FunctionArgumentClause,
    FunctionArgumentList, NullTreatment,
};

use super::error::{Position, SqlError};
use super::function::plain_arguments;
use super::operator::numeric;
use super::query::whole_number;
use super::scope::Context;
use super::translator::Translator;
use super::typed::Typed;
use crate::bigquery::schema::ColumnType::{Bool, Float64, Int64};

/// The aggregates.
pub(super) const AGGREGATES: &[&str] = &[
    "ANY_VALUE",
    "ARRAY_AGG",
    "AVG",
    "COUNT",
    "COUNTIF",
    "LOGICAL_AND",
    "LOGICAL_OR",
    "MAX",
    "MIN",
    "SUM",
];

impl Translator<'_> {
    /// Translates an aggregate.
    pub fn aggregate(
        &mut self,
        name: &str,
        arguments: &FunctionArgumentList,
        context: &Context<'_>,
        at: Position,
    ) -> Result<Typed, SqlError> {
        if name == "ARRAY_AGG" {
            return Err(
                at.error("arrays are not supported; take one element: ARRAY_AGG(x ORDER BY y LIMIT 1)[OFFSET(0)]")
            );
        }
        if !arguments.clauses.is_empty() {
            return Err(at.error(format!("{name} takes no clause after its argument")));
        }
        let distinct = match arguments.duplicate_treatment {
            None => "",
            Some(DuplicateTreatment::Distinct) if matches!(name, "COUNT" | "SUM" | "AVG") => {
                "DISTINCT "
            }
            Some(_) => {
                return Err(at.error(format!(
                    "{name} cannot take DISTINCT or ALL; COUNT, SUM and AVG take DISTINCT"
                )));
            }
        };
        if let [FunctionArg::Unnamed(FunctionArgExpr::Wildcard)] = arguments.args.as_slice() {
            if name == "COUNT" && distinct.is_empty() {
                return Ok(aggregated("count(*)".into(), Some(Int64), at));
            }
            return Err(at.error(format!("{name}(*) is not supported; COUNT(*) is")));
        }
        let args = plain_arguments(arguments, at)?;
        let [arg] = args.as_slice() else {
            return Err(at.error(format!("{name} takes one argument")));
        };
        let value = self.argument(name, arg, context, at)?;
        let (sql, ty) = match name {
            "COUNT" => (format!("count({distinct}{})", value.sql), Some(Int64)),
            "COUNTIF" => {
                let value = value.coerce(Bool, "the argument of COUNTIF")?;
                (
                    format!("count(CASE WHEN {} THEN 1 END)", value.sql),
                    Some(Int64),
                )
            }
            "LOGICAL_OR" | "LOGICAL_AND" => {
                let value = value.coerce(Bool, &format!("the argument of {name}"))?;
                let function = if name == "LOGICAL_OR" { "max" } else { "min" };
                (format!("{function}({})", value.sql), Some(Bool))
            }
            "SUM" if numeric(&value, name)? == Int64 => {
                (format!("sum({distinct}{})", value.sql), Some(Int64))
            }
            "SUM" => (
                format!("gs_finite(sum({distinct}{}))", value.sql),
                Some(Float64),
            ),
            "AVG" => {
                numeric(&value, name)?;
                (
                    format!("gs_finite(avg({distinct}{}))", value.sql),
                    Some(Float64),
                )
            }
            "MAX" => (format!("max({})", value.sql), value.ty),
            // ANY_VALUE gives any value that is not NULL: the least is one.
            _ => (format!("min({})", value.sql), value.ty),
        };
        Ok(aggregated(sql, ty, at))
    }

    /// Translates `ARRAY_AGG(x [IGNORE NULLS] ORDER BY … [LIMIT n])[OFFSET(k)]`.
    pub fn array_element(
        &mut self,
        call: &Function,
        index: &Expr,
        context: &Context<'_>,
        at: Position,
    ) -> Result<Typed, SqlError> {
        let (name, arguments) = self.call_parts(call, at)?;
        if name != "ARRAY_AGG" || call.over.is_some() || arguments.duplicate_treatment.is_some() {
            return Err(at.error(
                "an element is only understood of ARRAY_AGG(x [IGNORE NULLS] ORDER BY … [LIMIT n])",
            ));
        }
        let (offset, safe) = self.offset(index, at)?;
        let (mut ignore_nulls, mut order, mut limit) = (false, Vec::new(), -1);
        for clause in &arguments.clauses {
            match clause {
                FunctionArgumentClause::IgnoreOrRespectNulls(treatment) => {
                    ignore_nulls = *treatment == NullTreatment::IgnoreNulls;
                }
                FunctionArgumentClause::OrderBy(terms) => {
                    for term in terms {
                        let value = self.argument("ARRAY_AGG", &term.expr, context, at)?;
                        order.push(format!("{}{}", value.sql, self.direction(term, value.at)?));
                    }
                }
                FunctionArgumentClause::Limit(count) => limit = whole_number(count, at)?,
                _ => return Err(at.error("ARRAY_AGG takes IGNORE NULLS, ORDER BY and LIMIT only")),
            }
        }
        if order.is_empty() {
            return Err(
                at.error("ARRAY_AGG needs ORDER BY here, or its element would be left to chance")
            );
        }
        let args = plain_arguments(&arguments, at)?;
        let [arg] = args.as_slice() else {
            return Err(at.error("ARRAY_AGG takes one argument"));
        };
        let value = self.argument(&name, arg, context, at)?;
        let flags = format!(
            "{offset}, {limit}, {}, {}",
            i32::from(ignore_nulls),
            i32::from(safe)
        );
        let sql = format!(
            "gs_array_element({}, {flags} ORDER BY {})",
            value.sql,
            order.join(", ")
        );
        Ok(aggregated(sql, value.ty, at))
    }

    /// Reads `OFFSET(k)`, `ORDINAL(k)` or their SAFE_ forms: the position from 0, and whether it may lie outside.
    fn offset(&self, index: &Expr, at: Position) -> Result<(i64, bool), SqlError> {
        let wrong = || {
            at.error("an element is taken by [OFFSET(k)], [SAFE_OFFSET(k)], [ORDINAL(k)] or [SAFE_ORDINAL(k)]")
        };
        let Expr::Function(call) = index else {
            return Err(wrong());
        };
        let (name, arguments) = self.call_parts(call, at)?;
        let args = plain_arguments(&arguments, at)?;
        let [arg] = args.as_slice() else {
            return Err(wrong());
        };
        let position = whole_number(arg, at)?;
        match name.as_str() {
            "OFFSET" => Ok((position, false)),
            "SAFE_OFFSET" => Ok((position, true)),
            "ORDINAL" | "SAFE_ORDINAL" if position > 0 => {
                Ok((position - 1, name == "SAFE_ORDINAL"))
            }
            _ => Err(wrong()),
        }
    }

    fn argument(
        &mut self,
        name: &str,
        arg: &Expr,
        context: &Context<'_>,
        at: Position,
    ) -> Result<Typed, SqlError> {
        // Inside an aggregate the rows of the group are seen, neither keys nor aliases.
        let rows = Context {
            keys: &[],
            aliases: &[],
            ..*context
        };
        self.expr(arg, &rows, at)?
            .plain(&format!("the argument of {name}"))
    }
}

fn aggregated(sql: String, ty: Option<crate::bigquery::schema::ColumnType>, at: Position) -> Typed {
    Typed {
        aggregate: true,
        ..Typed::from_parts(sql, ty, at, [])
    }
}
