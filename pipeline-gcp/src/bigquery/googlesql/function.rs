//! Scalar functions, and the way from a call to the right kind of function.

use sqlparser::ast::{
    Expr, Function, FunctionArg, FunctionArgExpr, FunctionArgumentList, FunctionArguments, Spanned,
};

use super::aggregate::AGGREGATES;
use super::error::{Position, SqlError};
use super::operator::numeric;
use super::parse::last_part;
use super::query::whole_number;
use super::scope::Context;
use super::timestamp_function::TIMESTAMP_FUNCTIONS;
use super::translator::Translator;
use super::typed::{Typed, list, unify};
use super::window::WINDOW_FUNCTIONS;
use crate::bigquery::schema::ColumnType::{self, Bool, Float64, Int64, String as Text};

const SCALARS: &[&str] = &[
    "ABS",
    "COALESCE",
    "CONCAT",
    "DIV",
    "ENDS_WITH",
    "GREATEST",
    "IF",
    "IFNULL",
    "LEAST",
    "LENGTH",
    "LOWER",
    "MOD",
    "NULLIF",
    "ROUND",
    "SAFE_DIVIDE",
    "STARTS_WITH",
    "SUBSTR",
    "UPPER",
];

/// Lists the GoogleSQL functions that the embedded warehouse understands, in order.
pub fn functions() -> Vec<&'static str> {
    let mut names = [SCALARS, TIMESTAMP_FUNCTIONS, AGGREGATES, WINDOW_FUNCTIONS].concat();
    names.push("EXTRACT");
    names.sort_unstable();
    names
}

impl Translator<'_> {
    /// Translates a call.
    pub fn function(
        &mut self,
        call: &Function,
        context: &Context<'_>,
        at: Position,
    ) -> Result<Typed, SqlError> {
        let (name, arguments) = self.call_parts(call, at)?;
        if call.over.is_some() {
            return self.window_function(&name, call, &arguments, context, at);
        }
        if AGGREGATES.contains(&name.as_str()) {
            return self.aggregate(&name, &arguments, context, at);
        }
        if WINDOW_FUNCTIONS.contains(&name.as_str()) {
            return Err(at.error(format!("{name} needs OVER (…)")));
        }
        if arguments.duplicate_treatment.is_some() || !arguments.clauses.is_empty() {
            return Err(at.error(format!("{name} takes plain arguments only")));
        }
        let args = plain_arguments(&arguments, at)?;
        if TIMESTAMP_FUNCTIONS.contains(&name.as_str()) {
            return self.timestamp_function(&name, &args, context, at);
        }
        self.scalar(&name, &args, context, at)
    }

    /// Takes a call apart: its name in upper case and its arguments; clauses that are not understood are refused.
    pub fn call_parts(
        &self,
        call: &Function,
        at: Position,
    ) -> Result<(String, FunctionArgumentList), SqlError> {
        let (name, _) = last_part(&call.name, at)?;
        let name = name.to_ascii_uppercase();
        let plain = call.name.0.len() == 1
            && !call.uses_odbc_syntax
            && call.parameters == FunctionArguments::None
            && call.within_group.is_empty()
            && call.filter.is_none()
            && call.null_treatment.is_none();
        match &call.args {
            FunctionArguments::List(arguments) if plain => Ok((name, arguments.clone())),
            _ => Err(at.error(format!(
                "the call {} is not supported; supported: NAME(arguments) with {}",
                super::expr::shorten(&call.to_string()),
                functions().join(", ")
            ))),
        }
    }

    /// Translates a scalar function.
    pub fn scalar(
        &mut self,
        name: &str,
        args: &[&Expr],
        context: &Context<'_>,
        at: Position,
    ) -> Result<Typed, SqlError> {
        if !SCALARS.contains(&name) {
            let known = functions().join(", ");
            return Err(at.error(format!(
                "the function {name} is not supported; supported: {known}"
            )));
        }
        if name == "ROUND" {
            return self.round(args, context, at);
        }
        let arity = match name {
            "ABS" | "LENGTH" | "LOWER" | "UPPER" => 1..=1,
            "COALESCE" | "CONCAT" | "GREATEST" | "LEAST" => 1..=usize::MAX,
            "IF" => 3..=3,
            "SUBSTR" => 2..=3,
            _ => 2..=2,
        };
        if !arity.contains(&args.len()) {
            return Err(at.error(format!("{name} cannot take {} arguments", args.len())));
        }
        let parts = args
            .iter()
            .map(|arg| self.expr(arg, context, at))
            .collect::<Result<Vec<_>, _>>()?;
        let typed = |types: &[ColumnType], parts: Vec<Typed>| -> Result<Vec<Typed>, SqlError> {
            let what = format!("the argument of {name}");
            parts
                .into_iter()
                .enumerate()
                .map(|(position, part)| part.coerce(types[position.min(types.len() - 1)], &what))
                .collect()
        };
        let what = format!("each argument of {name}");
        let (sql, ty, parts) = match name {
            "ABS" => {
                let ty = numeric(&parts[0], "ABS")?;
                (format!("gs_abs({})", parts[0].sql), Some(ty), parts)
            }
            "CONCAT" => {
                let parts = typed(&[Text], parts)?;
                let texts: Vec<_> = parts.iter().map(|part| part.sql.as_str()).collect();
                (format!("({})", texts.join(" || ")), Some(Text), parts)
            }
            "COALESCE" | "IFNULL" | "GREATEST" | "LEAST" => {
                let (parts, ty) = unify(parts, &what)?;
                let function = match name {
                    "GREATEST" => "max",
                    "LEAST" => "min",
                    _ => "coalesce",
                };
                // With one argument SQLite's max and min would aggregate, and coalesce would be an error.
                let sql = if parts.len() == 1 {
                    parts[0].sql.clone()
                } else {
                    format!("{function}({})", list(&parts))
                };
                (sql, ty, parts)
            }
            "NULLIF" => {
                let (parts, ty) = unify(parts, &what)?;
                (format!("nullif({})", list(&parts)), ty, parts)
            }
            "IF" => {
                let mut parts = parts.into_iter();
                let condition = parts
                    .next()
                    .map(|part| part.coerce(Bool, "the condition of IF"))
                    .transpose()?;
                let (results, ty) = unify(parts.collect(), "each result of IF")?;
                let parts: Vec<_> = condition.into_iter().chain(results).collect();
                let sql = format!(
                    "(CASE WHEN {} THEN {} ELSE {} END)",
                    parts[0].sql, parts[1].sql, parts[2].sql
                );
                (sql, ty, parts)
            }
            "DIV" | "MOD" => simple(
                if name == "DIV" { "gs_idiv" } else { "gs_mod" },
                Int64,
                typed(&[Int64], parts)?,
            ),
            "SAFE_DIVIDE" => simple("gs_safe_div", Float64, typed(&[Float64], parts)?),
            "LENGTH" => simple("gs_length", Int64, typed(&[Text], parts)?),
            "LOWER" => simple("gs_lower", Text, typed(&[Text], parts)?),
            "UPPER" => simple("gs_upper", Text, typed(&[Text], parts)?),
            "SUBSTR" => simple("gs_substr", Text, typed(&[Text, Int64], parts)?),
            "STARTS_WITH" => simple("gs_starts_with", Bool, typed(&[Text], parts)?),
            _ => simple("gs_ends_with", Bool, typed(&[Text], parts)?),
        };
        Ok(Typed::from_parts(sql, ty, at, &parts))
    }

    fn round(
        &mut self,
        args: &[&Expr],
        context: &Context<'_>,
        at: Position,
    ) -> Result<Typed, SqlError> {
        let (value, digits) = match args {
            [value] => (value, 0),
            [value, digits] => (value, whole_number(digits, at)?),
            _ => return Err(at.error("ROUND takes a number and, if wished, a number of digits")),
        };
        if digits > 15 {
            return Err(at.error("ROUND takes 0 to 15 digits"));
        }
        let value = self.expr(value, context, at)?;
        numeric(&value, "ROUND")?;
        let value = value.coerce(Float64, "the argument of ROUND")?;
        Ok(Typed::from_parts(
            format!("gs_round({}, {digits})", value.sql),
            Some(Float64),
            at,
            [&value],
        ))
    }
}

fn simple(
    function: &str,
    ty: ColumnType,
    parts: Vec<Typed>,
) -> (String, Option<ColumnType>, Vec<Typed>) {
    (format!("{function}({})", list(&parts)), Some(ty), parts)
}

/// Takes arguments that are plain expressions.
pub(super) fn plain_arguments(
    arguments: &FunctionArgumentList,
    at: Position,
) -> Result<Vec<&Expr>, SqlError> {
    let plain = |argument| match argument {
        &FunctionArg::Unnamed(FunctionArgExpr::Expr(ref expr)) => Ok(expr),
        other => Err(Position::of(other.span(), at).error("an expression is expected here")),
    };
    arguments.args.iter().map(plain).collect()
}
