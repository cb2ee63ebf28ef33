//! The list of a SELECT: expressions, their names, and `*`.

use sqlparser::ast::{
    Expr, SelectItem, SelectItemQualifiedWildcardKind, Spanned, WildcardAdditionalOptions,
};

use super::error::{Position, SqlError};
use super::parse::alias_name;
use super::scope::{Alias, Context, Scope, same};
use super::translator::Translator;
use super::typed::Typed;

/// An item of the list with the name it gives.
pub(super) struct Item {
    pub name: Option<String>,
    pub value: Typed,
}

impl Translator<'_> {
    /// Translates the list.
    pub fn items(
        &mut self,
        list: &[SelectItem],
        context: &Context<'_>,
        at: Position,
    ) -> Result<Vec<Item>, SqlError> {
        let mut items = Vec::new();
        for item in list {
            let here = Position::of(item.span(), at);
            match item {
                SelectItem::UnnamedExpr(expr) => {
                    let name = match expr {
                        Expr::Identifier(ident) => Some(ident.value.clone()),
                        Expr::CompoundIdentifier(parts) => {
                            parts.last().map(|ident| ident.value.clone())
                        }
                        _ => None,
                    };
                    items.push(Item {
                        name,
                        value: self.column(expr, context, Position::of(expr.span(), here))?,
                    });
                }
                SelectItem::ExprWithAlias { expr, alias } => {
                    items.push(Item {
                        name: Some(alias_name(alias, here)?),
                        value: self.column(expr, context, Position::of(expr.span(), here))?,
                    });
                }
                SelectItem::Wildcard(options) => star(None, options, context, here, &mut items)?,
                SelectItem::QualifiedWildcard(
                    SelectItemQualifiedWildcardKind::ObjectName(name),
                    options,
                ) => {
                    star(
                        Some(&name.to_string().replace('`', "")),
                        options,
                        context,
                        here,
                        &mut items,
                    )?;
                }
                _ => {
                    return Err(here.error(
                        "this item is not supported; supported: expression [AS name], *, t.*",
                    ));
                }
            }
        }
        Ok(items)
    }
}

/// Lists the items that later clauses can name.
pub(super) fn aliases(items: &[Item]) -> Vec<Alias> {
    let alias = |item: &Item| {
        item.name.clone().map(|name| Alias {
            name,
            value: item.value.clone(),
        })
    };
    items.iter().filter_map(alias).collect()
}

/// Expands `*` or `t.*`, without the columns of EXCEPT.
fn star(
    qualifier: Option<&str>,
    options: &WildcardAdditionalOptions,
    context: &Context<'_>,
    at: Position,
    items: &mut Vec<Item>,
) -> Result<(), SqlError> {
    let WildcardAdditionalOptions {
        opt_ilike,
        opt_exclude,
        opt_except,
        opt_replace,
        opt_rename,
        opt_alias,
        ..
    } = options;
    let plain = opt_ilike.is_none() && opt_exclude.is_none() && opt_replace.is_none();
    if !plain || opt_rename.is_some() || opt_alias.is_some() {
        return Err(at.error("of the options of * only EXCEPT (…) is supported"));
    }
    let scope: &Scope = context.scope;
    let positions: Vec<usize> = match qualifier {
        None => scope.star.clone(),
        Some(alias) => (0..scope.columns.len())
            .filter(|&at| same(scope.columns[at].qualifier.as_deref(), alias))
            .collect(),
    };
    if positions.is_empty() {
        return Err(at.error("* stands for no column here; check FROM and the alias before it"));
    }
    let mut except: Vec<_> = Vec::new();
    if let Some(list) = opt_except {
        except.push(&list.first_element);
        except.extend(&list.additional_elements);
    }
    let excluded = |name: Option<&str>| except.iter().any(|ident| same(name, &ident.value));
    for ident in &except {
        if !positions
            .iter()
            .any(|&column| same(scope.columns[column].name.as_deref(), &ident.value))
        {
            return Err(Position::of(ident.span, at)
                .error(format!("EXCEPT: there is no column `{}`", ident.value)));
        }
    }
    for column in positions.into_iter().map(|column| &scope.columns[column]) {
        if !excluded(column.name.as_deref()) {
            let mut value = column.typed(at);
            if context.keys.contains(&value.sql) {
                value.ungrouped = None;
            }
            items.push(Item {
                name: column.name.clone(),
                value,
            });
        }
    }
    Ok(())
}
