//! The entry: one statement in, one SQLite SELECT with typed columns out.

use super::catalog::{Catalog, Object};
use super::error::{Position, SqlError};
use super::parse::{Parsed, Tokens, parse};
use super::query::{OutputColumn, Relation};
use crate::bigquery::schema::ColumnType;

/// A query ready for SQLite.
#[derive(Debug)]
pub(crate) struct Translated {
    /// One SELECT.
    pub sql: String,
    /// Name and type of each result column.
    pub columns: Vec<(String, ColumnType)>,
}

/// A view ready to be stored.
#[derive(Debug)]
pub(crate) struct CreateView {
    /// Its own name, without project and dataset.
    pub name: String,
    /// Whether it takes the place of one that is there.
    pub or_replace: bool,
}

/// Checks and translates a query.
pub(crate) fn translate_query(sql: &str, catalog: &Catalog) -> Result<Translated, SqlError> {
    with_large_stack(|| query(sql, catalog))
}

fn query(sql: &str, catalog: &Catalog) -> Result<Translated, SqlError> {
    let (parsed, tokens) = parse(sql)?;
    let Parsed::Query(query) = parsed else {
        return Err(Position::START.error("this is no query; CREATE VIEW has a call of its own"));
    };
    let mut translator = Translator::new(catalog, tokens, 0, Vec::new());
    let relation = translator.query(&query)?;
    let columns = result_columns(&relation.columns, Position::START)?;
    Ok(Translated {
        sql: relation.sql,
        columns,
    })
}

/// Checks a `CREATE VIEW` against the tables and views that are there.
pub(crate) fn translate_view(sql: &str, catalog: &Catalog) -> Result<CreateView, SqlError> {
    with_large_stack(|| view(sql, catalog))
}

fn view(sql: &str, catalog: &Catalog) -> Result<CreateView, SqlError> {
    let (parsed, tokens) = parse(sql)?;
    let Parsed::CreateView {
        name,
        at,
        or_replace,
        query,
    } = parsed
    else {
        return Err(Position::START
            .error("CREATE [OR REPLACE] VIEW is expected; a query has a call of its own"));
    };
    let mut translator = Translator::new(catalog, tokens, 0, vec![name.clone()]);
    let relation = translator.query(&query)?;
    if let Some(unnamed) = relation.columns.iter().find(|column| column.name.is_none()) {
        return Err(unnamed
            .at
            .error("a column of a view needs a name; add AS name"));
    }
    result_columns(&relation.columns, at)?;
    Ok(CreateView { name, or_replace })
}

/// Runs on a thread of its own, because parsing, walking and dropping a tree recurse as deep as a text of
/// `MAX_TOKENS` can nest, which is more than the stack of a caller's worker thread.
fn with_large_stack<T: Send>(
    run: impl FnOnce() -> Result<T, SqlError> + Send,
) -> Result<T, SqlError> {
    const STACK_BYTES: usize = 64 << 20; // address space; only what is touched is used
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new()
            .name("googlesql".into())
            .stack_size(STACK_BYTES);
        match thread.spawn_scoped(scope, run).map(|thread| thread.join()) {
            Ok(Ok(result)) => result,
            Ok(Err(panic)) => std::panic::resume_unwind(panic),
            Err(error) => Err(Position::START.error(format!(
                "no thread could be started to read the text: {error}"
            ))),
        }
    })
}

/// Names the columns of a result: `f0_`, `f1_`, … where there is no name; the same name twice is refused.
fn result_columns(
    columns: &[OutputColumn],
    fallback: Position,
) -> Result<Vec<(String, ColumnType)>, SqlError> {
    let mut named: Vec<(String, ColumnType)> = Vec::with_capacity(columns.len());
    let mut anonymous = 0;
    for column in columns {
        let name = column.name.clone().unwrap_or_else(|| {
            anonymous += 1;
            format!("f{}_", anonymous - 1)
        });
        if named
            .iter()
            .any(|(other, _)| other.eq_ignore_ascii_case(&name))
        {
            let at = column.at.max(fallback);
            return Err(at.error(format!(
                "two result columns are named `{name}`; give one another alias"
            )));
        }
        named.push((name, column.ty.unwrap_or(ColumnType::Int64)));
    }
    Ok(named)
}

/// A common table expression that is in scope.
pub(super) struct Cte {
    pub name: String,
    pub sql_name: String,
    pub columns: Vec<OutputColumn>,
}

/// The state of one translation.
pub(super) struct Translator<'a> {
    pub catalog: &'a Catalog,
    pub tokens: Tokens,
    /// Common table expressions in scope, innermost last.
    pub ctes: Vec<Cte>,
    /// Views being expanded, to refuse a circle.
    views: Vec<String>,
    names: usize,
    pub depth: usize,
}

/// Deepest nesting of expressions and queries; it bounds the stack.
const MAX_DEPTH: usize = 60;

impl<'a> Translator<'a> {
    fn new(catalog: &'a Catalog, tokens: Tokens, names: usize, views: Vec<String>) -> Self {
        Self {
            catalog,
            tokens,
            ctes: Vec::new(),
            views,
            names,
            depth: 0,
        }
    }

    /// Makes a name that nothing else in the statement has.
    pub fn fresh(&mut self, prefix: &str) -> String {
        self.names += 1;
        format!("{prefix}{}", self.names)
    }

    /// Runs one level deeper.
    pub fn nested<T>(
        &mut self,
        at: Position,
        run: impl FnOnce(&mut Self) -> Result<T, SqlError>,
    ) -> Result<T, SqlError> {
        if self.depth == MAX_DEPTH {
            return Err(at.error(format!(
                "nested deeper than {MAX_DEPTH} levels; use WITH or a view"
            )));
        }
        self.depth += 1;
        let result = run(self);
        self.depth -= 1;
        result
    }

    /// Finds a table or view and gives its SQLite text with its columns.
    pub fn object(&mut self, name: &str, at: Position) -> Result<Relation, SqlError> {
        let catalog = self.catalog;
        match catalog.get(name) {
            None => Err(at.error(format!(
                "there is no table or view `{name}`; there are: {}",
                catalog.names()
            ))),
            Some(Object::Table { columns }) => {
                let column = |(name, ty): &(String, ColumnType)| OutputColumn {
                    name: Some(name.clone()),
                    sql: format!("\"{name}\""),
                    ty: Some(*ty),
                    at,
                };
                Ok(Relation {
                    sql: format!("\"{name}\""),
                    columns: columns.iter().map(column).collect(),
                })
            }
            Some(Object::View { sql }) => {
                if self.views.iter().any(|view| view == name) {
                    return Err(at.error(format!("view `{name}` would be made of itself")));
                }
                let mut relation = self.expand(name, sql).map_err(|error| SqlError {
                    view: error.view.or_else(|| Some(name.to_owned())),
                    ..error
                })?;
                relation.sql = format!("({})", relation.sql);
                Ok(relation)
            }
        }
    }

    fn expand(&mut self, name: &str, sql: &str) -> Result<Relation, SqlError> {
        let (parsed, tokens) = parse(sql)?;
        let Parsed::CreateView { query, .. } = parsed else {
            return Err(Position::START.error("the stored text is no CREATE VIEW"));
        };
        let mut views = self.views.clone();
        views.push(name.to_owned());
        let mut inner = Translator::new(self.catalog, tokens, self.names, views);
        inner.depth = self.depth;
        let relation = inner.query(&query)?;
        self.names = inner.names;
        Ok(relation)
    }
}
