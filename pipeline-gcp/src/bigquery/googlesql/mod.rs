//! GoogleSQL for the embedded warehouse: parsed, type-checked, and translated to SQLite by an allow-list.
//!
//! A text is parsed with sqlparser's BigQuery dialect. Every node of the tree is then either known here, with its
//! GoogleSQL types, or refused with line and column: nothing reaches SQLite by looking alike. Where SQLite's meaning
//! differs, the translation calls functions that are registered on the connection.
//!
//! | area | understood |
//! |---|---|
//! | statements | one query, or `CREATE [OR REPLACE] VIEW name AS query` |
//! | clauses | WITH, SELECT \[DISTINCT], `*`, `t.*`, `* EXCEPT (…)`, FROM, INNER/LEFT JOIN with ON or USING, subqueries in FROM, WHERE, GROUP BY, HAVING, QUALIFY, ORDER BY, LIMIT, OFFSET, UNION ALL/DISTINCT |
//! | types | STRING, INT64, FLOAT64 (finite), BOOL, TIMESTAMP; columns of the others are only passed through, STRUCT and ARRAY as JSON: no field access, no UNNEST |
//! | operators | `+ - * /` (`/` is FLOAT64), `\|\|`, comparisons, IS \[NOT] NULL/TRUE/FALSE, IS \[NOT] DISTINCT FROM, IN, BETWEEN, LIKE, AND, OR, NOT, CASE |
//! | functions | see [`functions`]; casts among the five types |
//! | aggregates | COUNT, COUNTIF, SUM, AVG, MIN, MAX, ANY_VALUE, LOGICAL_AND, LOGICAL_OR, `ARRAY_AGG(x [IGNORE NULLS] ORDER BY … [LIMIT n])[OFFSET(k)]` |
//! | window functions | ROW_NUMBER, RANK, DENSE_RANK |
//!
//! The semantics follow cloud.google.com/bigquery/docs/reference/standard-sql. Where that leaves a case open, the case
//! is refused here: rounding at a decimal tie that no FLOAT64 holds, the text of a FLOAT64 of more than 15 digits,
//! `[OFFSET(0)]` of an ARRAY_AGG whose values were all ignored, letters whose other case is several letters.
//! A text has at most 5,000 tokens.

mod aggregate;
mod cast;
mod catalog;
mod error;
mod expr;
mod from;
mod function;
mod literal;
mod operator;
mod parse;
mod query;
pub(crate) mod runtime;
mod scope;
mod select;
mod select_list;
mod timestamp_function;
mod translator;
mod typed;
mod window;

pub(crate) use catalog::{Catalog, Object};
pub use error::SqlError;
pub use function::functions;
pub(crate) use translator::{translate_query, translate_view};
