//! From text to syntax tree, with the tokens kept for positions.

use sqlparser::ast::{self, CreateTableOptions, Query, Statement};
use sqlparser::dialect::BigQueryDialect;
use sqlparser::parser::{Parser, ParserError, ParserOptions};
use sqlparser::tokenizer::{Location, Span, Token, TokenWithSpan, Tokenizer};

use super::error::{Position, SqlError};

/// Longest text in tokens; it bounds the depth of the tree, and with it the stack.
const MAX_TOKENS: usize = 5_000;

/// The tokens of a text, without white space.
pub(super) struct Tokens(Vec<TokenWithSpan>);

/// A statement that is understood.
pub(super) enum Parsed {
    Query(Box<Query>),
    CreateView {
        name: String,
        at: Position,
        or_replace: bool,
        query: Box<Query>,
    },
}

impl Tokens {
    /// Finds the first token after a span that is not a closing parenthesis: the operator between two operands.
    pub fn operator_after(&self, span: Span, fallback: Position) -> Position {
        let after = self.0.iter().filter(|token| token.span.start >= span.end);
        let operator = after.map_while(|token| (token.token != Token::EOF).then_some(token));
        match operator
            .into_iter()
            .find(|token| token.token != Token::RParen)
        {
            Some(token) if span.end.line > 0 => Position::of(token.span, fallback),
            _ => fallback,
        }
    }

    /// Finds a keyword from a position on.
    pub fn keyword(&self, keyword: &str, from: Position) -> Position {
        let from_location = Location {
            line: from.line,
            column: from.column,
        };
        let is_keyword = |token: &&TokenWithSpan| matches!(&token.token, Token::Word(word) if word.quote_style.is_none() && word.value.eq_ignore_ascii_case(keyword));
        let found = self
            .0
            .iter()
            .filter(|token| token.span.start >= from_location)
            .find(is_keyword);
        found.map_or(from, |token| Position::of(token.span, from))
    }

    fn end(&self) -> Position {
        self.0.last().map_or(Position::START, |token| {
            let Location { line, column } = token.span.end;
            if line == 0 {
                Position::START
            } else {
                Position { line, column }
            }
        })
    }
}

/// Parses one statement.
pub(super) fn parse(sql: &str) -> Result<(Parsed, Tokens), SqlError> {
    let dialect = BigQueryDialect;
    let all = Tokenizer::new(&dialect, sql)
        .with_unescape(false) // GoogleSQL's escapes are not the tokenizer's: see literal.rs
        .tokenize_with_location()
        .map_err(|error| {
            let at = Position::of(Span::new(error.location, error.location), Position::START);
            at.error(error.message)
        })?;
    let tokens = Tokens(
        all.iter()
            .filter(|token| !matches!(token.token, Token::Whitespace(_)))
            .cloned()
            .collect(),
    );
    if let Some(token) = tokens.0.get(MAX_TOKENS) {
        let at = Position::of(token.span, Position::START);
        return Err(at.error(format!(
            "the text has more than {MAX_TOKENS} tokens; split it with views"
        )));
    }
    for token in &tokens.0 {
        if token.token == Token::DoubleEq {
            return Err(
                Position::of(token.span, Position::START).error("`==` is not GoogleSQL; write `=`")
            );
        }
    }
    let options = ParserOptions::new().with_unescape(false);
    let mut parser = Parser::new(&dialect)
        .with_options(options)
        .with_tokens_with_locations(all);
    let statements = parser
        .parse_statements()
        .map_err(|error| parser_error(error, &tokens))?;
    let mut statements = statements.into_iter();
    let parsed = match (statements.next(), statements.next()) {
        (None, _) => return Err(Position::START.error("the text is empty; write a query")),
        (Some(_), Some(_)) => {
            let semicolon = tokens
                .0
                .iter()
                .find(|token| token.token == Token::SemiColon);
            let at = semicolon.map_or(Position::START, |token| {
                Position::of(token.span, Position::START)
            });
            return Err(at.error("one statement a call; send the next one by itself"));
        }
        (Some(Statement::Query(query)), None) => Parsed::Query(query),
        (Some(Statement::CreateView(view)), None) => create_view(view, &tokens)?,
        (Some(_), None) => {
            let at = tokens.0.first().map_or(Position::START, |token| {
                Position::of(token.span, Position::START)
            });
            return Err(at.error(
                "this statement is not supported; supported: a query, CREATE [OR REPLACE] VIEW",
            ));
        }
    };
    Ok((parsed, tokens))
}

fn create_view(view: ast::CreateView, tokens: &Tokens) -> Result<Parsed, SqlError> {
    let at = tokens.keyword("VIEW", Position::START);
    let plain = !(view.or_alter
        || view.materialized
        || view.secure
        || view.if_not_exists
        || view.temporary
        || view.with_no_schema_binding
        || view.copy_grants)
        && view.columns.is_empty()
        && view.cluster_by.is_empty()
        && view.options == CreateTableOptions::None
        && view.comment.is_none()
        && view.to.is_none()
        && view.params.is_none();
    if !plain {
        return Err(at.error(
            "only CREATE [OR REPLACE] VIEW name AS query is supported, without options or columns",
        ));
    }
    let (name, name_at) = last_part(&view.name, at)?;
    Ok(Parsed::CreateView {
        name,
        at: name_at,
        or_replace: view.or_replace,
        query: view.query,
    })
}

/// Takes the table's own name from `project.dataset.table`.
pub(super) fn last_part(
    name: &ast::ObjectName,
    at: Position,
) -> Result<(String, Position), SqlError> {
    match name.0.last() {
        Some(ast::ObjectNamePart::Identifier(ident)) => {
            Ok((ident.value.clone(), Position::of(ident.span, at)))
        }
        _ => Err(at.error("a table name is project.dataset.table, dataset.table or table")),
    }
}

/// Takes the position out of the parser's message, which ends in ` at Line: 3, Column: 7`.
fn parser_error(error: ParserError, tokens: &Tokens) -> SqlError {
    let message = match error {
        ParserError::TokenizerError(message) | ParserError::ParserError(message) => message,
        ParserError::RecursionLimitExceeded => {
            return Position::START.error("the text is nested too deeply");
        }
    };
    let placed = message
        .rsplit_once(" at Line: ")
        .and_then(|(words, place)| {
            let (line, column) = place.split_once(", Column: ")?;
            Some((
                words,
                Position {
                    line: line.trim().parse().ok()?,
                    column: column.trim().parse().ok()?,
                },
            ))
        });
    match placed {
        Some((words, at)) => at.error(words),
        None => tokens.end().error(message),
    }
}

/// Takes the name that an alias gives. The parser takes `SELECT 'a' 'b'` for an alias too, where GoogleSQL has none.
pub(super) fn alias_name(alias: &ast::Ident, fallback: Position) -> Result<String, SqlError> {
    match alias.quote_style {
        None | Some('`') => Ok(alias.value.clone()),
        Some(_) => {
            let at = Position::of(alias.span, fallback);
            Err(at.error("a string cannot be an alias; write AS name, or || between two strings"))
        }
    }
}
