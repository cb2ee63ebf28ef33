//! One SELECT: its clauses in the order in which they see names.

use sqlparser::ast::{Distinct, Expr, GroupByExpr, OrderByExpr, Select, SelectFlavor, Spanned};

use super::error::{Position, SqlError};
use super::query::{OutputColumn, ordinal};
use super::scope::{Context, same};
use super::select_list::{Item, aliases};
use super::translator::Translator;
use super::typed::{Typed, understood};

/// A SELECT whose ORDER BY and QUALIFY are still to be applied around it.
pub(super) struct Plan {
    /// SELECT with columns `c0`, … and hidden ones for ORDER BY and QUALIFY.
    pub body: String,
    pub columns: Vec<OutputColumn>,
    /// Condition of QUALIFY.
    pub filter: Option<String>,
    /// Terms of ORDER BY.
    pub order: Vec<String>,
}

impl Translator<'_> {
    /// Translates a SELECT with the ORDER BY that follows it.
    pub fn select(
        &mut self,
        select: &Select,
        order_by: &[OrderByExpr],
        at: Position,
    ) -> Result<Plan, SqlError> {
        let at = Position::of(select.select_token.0.span, at);
        self.refuse_select_clauses(select, at)?;
        let (from, scope) = self.from(&select.from, at)?;
        let plain = Context {
            scope: &scope,
            keys: &[],
            aliases: &[],
        };
        let filter = match &select.selection {
            None => String::new(),
            Some(_) if from.is_empty() => return Err(at.error("WHERE needs a FROM")),
            Some(condition) => format!(
                " WHERE {}",
                self.condition(condition, &plain, "WHERE", at)?.sql
            ),
        };
        // Some nodes have no place of their own; then the list's beginning stands for it.
        let list_at = self.tokens.operator_after(select.select_token.0.span, at);
        let mut items = self.items(&select.projection, &plain, list_at)?;
        let keys = self.keys(&select.group_by, &items, &plain, at)?;
        if !keys.is_empty() {
            items = self.items(
                &select.projection,
                &Context {
                    keys: &keys,
                    ..plain
                },
                list_at,
            )?;
        }
        let aliases = aliases(&items);
        let context = Context {
            keys: &keys,
            aliases: &aliases,
            ..plain
        };
        let having = select
            .having
            .as_ref()
            .map(|having| self.truth(having, &context, "HAVING", at))
            .transpose()?;
        let qualify = select
            .qualify
            .as_ref()
            .map(|qualify| self.truth(qualify, &context, "QUALIFY", at))
            .transpose()?;
        let order = self.order_terms(order_by, &items, &context, at)?;

        let parts = || {
            items
                .iter()
                .map(|item| &item.value)
                .chain(&having)
                .chain(&qualify)
        };
        let parts = || parts().chain(order.iter().map(|(value, _)| value));
        let grouped = !keys.is_empty() || parts().any(|part| part.aggregate);
        if let Some((name, at)) = parts()
            .filter(|_| grouped)
            .find_map(|part| part.ungrouped.as_ref())
        {
            return Err(at.error(format!(
                "`{name}` is neither grouped nor aggregated; add it to GROUP BY"
            )));
        }
        if let Some(having) = &having {
            if having.window {
                return Err(having
                    .at
                    .error("HAVING cannot contain a window function; use QUALIFY"));
            }
            if !grouped {
                return Err(having
                    .at
                    .error("HAVING needs GROUP BY or an aggregate; use WHERE"));
            }
        }
        if let Some(qualify) = &qualify
            && !qualify.window
            && !items.iter().any(|item| item.value.window)
        {
            return Err(qualify
                .at
                .error("QUALIFY needs a window function in it or in the list; use WHERE"));
        }
        let distinct = matches!(select.distinct, Some(Distinct::Distinct));
        for item in items.iter().filter(|_| distinct) {
            understood(item.value.ty, "a column of SELECT DISTINCT", item.value.at)?;
        }
        let from = format!("{from}{filter}");
        Clauses {
            distinct,
            items,
            keys,
            having,
            qualify,
            order,
            from,
        }
        .assemble()
    }

    fn refuse_select_clauses(&self, select: &Select, at: Position) -> Result<(), SqlError> {
        let refused = [
            (
                matches!(select.distinct, Some(Distinct::On(_))),
                "ON",
                "DISTINCT ON",
            ),
            (
                select.select_modifiers.is_some(),
                "SELECT",
                "a modifier of SELECT",
            ),
            (!select.optimizer_hints.is_empty(), "SELECT", "a hint"),
            (select.top.is_some(), "TOP", "TOP"),
            (select.exclude.is_some(), "EXCLUDE", "EXCLUDE"),
            (select.into.is_some(), "INTO", "INTO"),
            (!select.lateral_views.is_empty(), "LATERAL", "LATERAL VIEW"),
            (select.prewhere.is_some(), "PREWHERE", "PREWHERE"),
            (!select.connect_by.is_empty(), "CONNECT", "CONNECT BY"),
            (!select.cluster_by.is_empty(), "CLUSTER", "CLUSTER BY"),
            (
                !select.distribute_by.is_empty(),
                "DISTRIBUTE",
                "DISTRIBUTE BY",
            ),
            (!select.sort_by.is_empty(), "SORT", "SORT BY"),
            (!select.named_window.is_empty(), "WINDOW", "WINDOW"),
            (
                select.value_table_mode.is_some(),
                "AS",
                "SELECT AS STRUCT or VALUE",
            ),
            (
                select.flavor != SelectFlavor::Standard,
                "FROM",
                "a query that begins with FROM",
            ),
        ];
        match refused.iter().find(|(there, ..)| *there) {
            Some((_, keyword, clause)) => Err(self
                .tokens
                .keyword(keyword, at)
                .error(format!("{clause} is not supported"))),
            None => Ok(()),
        }
    }

    fn keys(
        &mut self,
        group_by: &GroupByExpr,
        items: &[Item],
        context: &Context<'_>,
        at: Position,
    ) -> Result<Vec<String>, SqlError> {
        let at = self.tokens.keyword("GROUP", at);
        let terms = match group_by {
            GroupByExpr::Expressions(terms, modifiers) if modifiers.is_empty() => terms,
            _ => {
                return Err(at.error(
                    "only GROUP BY with columns, expressions and column numbers is supported",
                ));
            }
        };
        let aliases = aliases(items);
        let context = Context {
            aliases: &aliases,
            ..*context
        };
        let mut keys = Vec::new();
        for term in terms {
            let here = Position::of(term.span(), at);
            let key = match ordinal(term, items.len(), here)? {
                Some(position) => Typed {
                    at: here,
                    ..items[position].value.clone()
                },
                None => self.expr(term, &context, here)?,
            }
            .plain("GROUP BY")?;
            understood(key.ty, "a key of GROUP BY", here)?;
            if key.literal.is_some() {
                return Err(here.error("GROUP BY cannot take a constant; leave it out"));
            }
            keys.push(key.sql);
        }
        Ok(keys)
    }

    fn order_terms(
        &mut self,
        terms: &[OrderByExpr],
        items: &[Item],
        context: &Context<'_>,
        at: Position,
    ) -> Result<Vec<(Typed, &'static str)>, SqlError> {
        let mut order = Vec::new();
        for term in terms {
            let here = Position::of(term.span(), at);
            let alias = match &term.expr {
                Expr::Identifier(ident) => items
                    .iter()
                    .position(|item| same(item.name.as_deref(), &ident.value)),
                expr => ordinal(expr, items.len(), here)?,
            };
            let value = match (alias, &term.expr) {
                (Some(first), Expr::Identifier(ident))
                    if items[first + 1..]
                        .iter()
                        .any(|item| same(item.name.as_deref(), &ident.value)) =>
                {
                    return Err(
                        here.error(format!("`{}` names several output columns", ident.value))
                    );
                }
                (Some(position), _) => Typed {
                    at: here,
                    ..items[position].value.clone()
                },
                (None, expr) => self.expr(expr, context, here)?,
            };
            understood(value.ty, "a term of ORDER BY", here)?;
            order.push((value, self.direction(term, here)?));
        }
        Ok(order)
    }
}

/// The translated clauses of one SELECT.
struct Clauses {
    distinct: bool,
    items: Vec<Item>,
    keys: Vec<String>,
    having: Option<Typed>,
    qualify: Option<Typed>,
    order: Vec<(Typed, &'static str)>,
    /// FROM and WHERE.
    from: String,
}

impl Clauses {
    /// Puts the clauses together, with hidden columns for what is applied around them.
    fn assemble(self) -> Result<Plan, SqlError> {
        let Self {
            distinct,
            items,
            keys,
            having,
            qualify,
            order: order_by,
            from,
        } = self;
        let mut list: Vec<_> = items
            .iter()
            .enumerate()
            .map(|(position, item)| format!("{} AS c{position}", item.value.sql))
            .collect();
        let mut order = Vec::new();
        for (position, (value, direction)) in order_by.into_iter().enumerate() {
            if let Some(output) = items.iter().position(|item| item.value.sql == value.sql) {
                order.push(format!("c{output}{direction}"));
                continue;
            }
            if distinct {
                return Err(value
                    .at
                    .error("with SELECT DISTINCT, ORDER BY takes columns of the list only"));
            }
            list.push(format!("{} AS o{position}", value.sql));
            order.push(format!("o{position}{direction}"));
        }
        let filter = match qualify {
            None => None,
            Some(value) if distinct => {
                return Err(value
                    .at
                    .error("QUALIFY with SELECT DISTINCT is not supported; use a subquery"));
            }
            Some(value) => {
                list.push(format!("{} AS q0", value.sql));
                Some("q0".to_owned())
            }
        };
        let mut body = format!(
            "SELECT {}{}{from}",
            if distinct { "DISTINCT " } else { "" },
            list.join(", ")
        );
        if !keys.is_empty() {
            body.push_str(&format!(" GROUP BY {}", keys.join(", ")));
        }
        if let Some(having) = having {
            body.push_str(&format!(" HAVING {}", having.sql));
        }
        let column = |(position, item): (usize, Item)| OutputColumn {
            name: item.name,
            sql: format!("c{position}"),
            ty: item.value.ty,
            at: item.value.at,
        };
        Ok(Plan {
            body,
            columns: items.into_iter().enumerate().map(column).collect(),
            filter,
            order,
        })
    }
}
