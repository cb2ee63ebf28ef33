//! Window functions that number rows.

use sqlparser::ast::{Function, FunctionArgumentList, WindowType};

use super::error::{Position, SqlError};
use super::scope::Context;
use super::translator::Translator;
use super::typed::Typed;
use crate::bigquery::schema::ColumnType;

/// The window functions.
pub(super) const WINDOW_FUNCTIONS: &[&str] = &["DENSE_RANK", "RANK", "ROW_NUMBER"];

impl Translator<'_> {
    /// Translates `ROW_NUMBER() OVER (PARTITION BY … ORDER BY …)` and its kin.
    pub fn window_function(
        &mut self,
        name: &str,
        call: &Function,
        arguments: &FunctionArgumentList,
        context: &Context<'_>,
        at: Position,
    ) -> Result<Typed, SqlError> {
        let bare = arguments.args.is_empty()
            && arguments.clauses.is_empty()
            && arguments.duplicate_treatment.is_none();
        if !WINDOW_FUNCTIONS.contains(&name) || !bare {
            let known = WINDOW_FUNCTIONS.join("(), ");
            return Err(at.error(format!(
                "{name} with OVER is not supported; supported: {known}()"
            )));
        }
        let spec = match &call.over {
            Some(WindowType::WindowSpec(spec))
                if spec.window_name.is_none() && spec.window_frame.is_none() =>
            {
                spec
            }
            _ => {
                return Err(
                    at.error("OVER takes (PARTITION BY … ORDER BY …), without a name or a frame")
                );
            }
        };
        let (mut parts, mut partition, mut order) = (Vec::new(), Vec::new(), Vec::new());
        for expr in &spec.partition_by {
            let value = self.expr(expr, context, at)?;
            partition.push(value.sql.clone());
            parts.push(value);
        }
        for term in &spec.order_by {
            let value = self.expr(&term.expr, context, at)?;
            order.push(format!("{}{}", value.sql, self.direction(term, value.at)?));
            parts.push(value);
        }
        if let Some(part) = parts.iter().find(|part| part.window) {
            return Err(part.at.error("a window function cannot stand in another"));
        }
        if order.is_empty() && name != "ROW_NUMBER" {
            return Err(at.error(format!("{name} needs ORDER BY in its OVER")));
        }
        let clause = |words: &str, list: Vec<String>| match list.is_empty() {
            true => String::new(),
            false => format!("{words} BY {} ", list.join(", ")),
        };
        let over = format!(
            "{}{}",
            clause("PARTITION", partition),
            clause("ORDER", order)
        );
        let sql = format!("{}() OVER ({})", name.to_ascii_lowercase(), over.trim_end());
        Ok(Typed {
            window: true,
            ..Typed::from_parts(sql, Some(ColumnType::Int64), at, &parts)
        })
    }
}
