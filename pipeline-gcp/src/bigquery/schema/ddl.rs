//! A table from its `CREATE TABLE` in GoogleSQL.

use sqlparser::dialect::BigQueryDialect;
use sqlparser::tokenizer::{Location, Token, Tokenizer};
use std::collections::VecDeque;
use std::time::Duration;

use super::{Column, ColumnType, Granularity, Mode, Partitioning, TableSchema, joined};

impl TableSchema {
    /// Reads a `CREATE TABLE` of GoogleSQL; returns the name of the table and its schema.
    ///
    /// Understood are columns of all types of [`ColumnType`] with `STRUCT<…>` and `ARRAY<…>`, `NOT NULL`, `OPTIONS`
    /// with a description, `PARTITION BY` a DATE column, `DATE(column)`, `TIMESTAMP_TRUNC`, `DATETIME_TRUNC`,
    /// `DATE_TRUNC` or `_PARTITIONDATE`, `CLUSTER BY`, and the table's options `partition_expiration_days` and
    /// `require_partition_filter`.
    ///
    /// ```
    /// # use pipeline_gcp::bigquery::{Mode, TableSchema};
    /// let (table, schema) = TableSchema::from_ddl("
    ///     CREATE TABLE shop.orders (
    ///       id INT64 NOT NULL OPTIONS (description = 'Identity'),
    ///       at TIMESTAMP NOT NULL,
    ///       items ARRAY<STRUCT<name STRING NOT NULL, price NUMERIC>>
    ///     ) PARTITION BY DATE(at) CLUSTER BY id")?;
    /// assert_eq!(table, "shop.orders");
    /// assert_eq!(schema.columns[2].mode, Mode::Repeated);
    /// # Ok::<(), String>(())
    /// ```
    ///
    /// # Errors
    /// Says at which line and column the text is not understood, or which column breaks a rule.
    pub fn from_ddl(text: &str) -> Result<(String, TableSchema), String> {
        let tokens = Tokenizer::new(&BigQueryDialect {}, text)
            .tokenize_with_location()
            .map_err(|error| error.to_string())?;
        let tokens = tokens
            .into_iter()
            .filter(|token| !matches!(token.token, Token::Whitespace(_) | Token::EOF))
            .map(|token| (token.token, token.span.start))
            .collect();
        let mut ddl = Ddl { tokens };
        let read = ddl.create_table()?;
        read.1.validate()?;
        Ok(read)
    }
}

struct Ddl {
    tokens: VecDeque<(Token, Location)>,
}

/// The value of an option.
enum Setting {
    Text(String),
    Number(f64),
    Truth(bool),
}

impl Ddl {
    fn create_table(&mut self) -> Result<(String, TableSchema), String> {
        self.keyword("CREATE")?;
        if self.is_keyword("OR") {
            self.keyword("REPLACE")?;
        }
        self.keyword("TABLE")?;
        if self.is_keyword("IF") {
            self.keyword("NOT")?;
            self.keyword("EXISTS")?;
        }
        let mut name = self.name("the table's name")?;
        while self.is(&Token::Period) {
            name = format!("{name}.{}", self.name("the table's name")?);
        }
        let mut schema = TableSchema::new(self.columns(&Token::RParen, &Token::LParen, "")?);
        if self.is_keyword("PARTITION") {
            self.keyword("BY")?;
            schema.partitioning = Some(self.partitioning()?);
        }
        if self.is_keyword("CLUSTER") {
            self.keyword("BY")?;
            schema.clustering.push(self.name("a column")?);
            while self.is(&Token::Comma) {
                schema.clustering.push(self.name("a column")?);
            }
        }
        if self.is_keyword("OPTIONS") {
            self.table_options(&mut schema)?;
        }
        self.is(&Token::SemiColon);
        if self.tokens.is_empty() {
            return Ok((name, schema));
        }
        self.expected("the end, PARTITION BY, CLUSTER BY or OPTIONS")
    }

    fn columns(&mut self, end: &Token, begin: &Token, within: &str) -> Result<Vec<Column>, String> {
        if !self.is(begin) {
            return self.expected(&format!("`{begin}`"));
        }
        let mut columns = Vec::new();
        loop {
            let name = self.name("a column's name")?;
            let path = joined(within, &name);
            let mut column = self.column_type(&name, &path)?;
            if self.is_keyword("NOT") {
                self.keyword("NULL")?;
                if column.mode == Mode::Repeated {
                    return Err(format!(
                        "column `{path}`: an ARRAY is never NULL; leave NOT NULL out"
                    ));
                }
                column.mode = Mode::Required;
            }
            if self.is_keyword("OPTIONS") {
                for (option, setting) in self.options()? {
                    match (option.as_str(), setting) {
                        ("description", Setting::Text(words)) => column.description = Some(words),
                        _ => {
                            return Err(format!(
                                "column `{path}`: the option {option} is not supported; supported: description"
                            ));
                        }
                    }
                }
            }
            columns.push(column);
            if self.is_end(end) {
                return Ok(columns);
            }
            if !self.is(&Token::Comma) {
                return self.expected(&format!("`,` or `{end}`"));
            }
        }
    }

    fn column_type(&mut self, name: &str, path: &str) -> Result<Column, String> {
        let type_name = self.name("a type")?;
        match type_name.to_ascii_uppercase().as_str() {
            "ARRAY" => {
                if !self.is(&Token::Lt) {
                    return self.expected("`<`");
                }
                let column = self.column_type(name, path)?;
                if column.mode == Mode::Repeated {
                    return Err(format!(
                        "column `{path}`: an ARRAY of ARRAYs is not possible; put a STRUCT between them"
                    ));
                }
                if !self.is_end(&Token::Gt) {
                    return self.expected("`>`");
                }
                Ok(Column {
                    mode: Mode::Repeated,
                    ..column
                })
            }
            "STRUCT" => {
                let fields = self.columns(&Token::Gt, &Token::Lt, path)?;
                Ok(Column::nullable(name, ColumnType::Struct).fields(fields))
            }
            other => {
                let column_type = ColumnType::parse(other);
                let column_type =
                    column_type.map_err(|reason| format!("column `{path}`: {reason}"))?;
                if self.tokens.front().is_some_and(|t| t.0 == Token::LParen) {
                    return Err(format!(
                        "column `{path}`: {other} with a length or precision is not supported; leave it out"
                    ));
                }
                Ok(Column::nullable(name, column_type))
            }
        }
    }

    fn partitioning(&mut self) -> Result<Partitioning, String> {
        let first = self.name("a column or a function of one")?;
        if !self.is(&Token::LParen) {
            return Ok(match first.to_ascii_uppercase().as_str() {
                "_PARTITIONDATE" => Partitioning::by_ingestion(Granularity::Day),
                _ => Partitioning::by(first, Granularity::Day),
            });
        }
        let function = first.to_ascii_uppercase();
        let column = self.name("a column")?;
        let granularity = match function.as_str() {
            "DATE" => Granularity::Day,
            "TIMESTAMP_TRUNC" | "DATETIME_TRUNC" | "DATE_TRUNC" => {
                if !self.is(&Token::Comma) {
                    return self.expected("`,`");
                }
                let name = self.name("HOUR, DAY, MONTH or YEAR")?;
                Granularity::parse(&name)
                    .ok_or_else(|| format!("PARTITION BY {name}: only HOUR, DAY, MONTH and YEAR"))?
            }
            _ => {
                return Err(format!(
                    "PARTITION BY {function} is not supported; supported: a DATE column, DATE(column), \
                     TIMESTAMP_TRUNC, DATETIME_TRUNC, DATE_TRUNC, _PARTITIONDATE"
                ));
            }
        };
        if !self.is(&Token::RParen) {
            return self.expected("`)`");
        }
        Ok(match column.to_ascii_uppercase().as_str() {
            "_PARTITIONTIME" => Partitioning::by_ingestion(granularity),
            _ => Partitioning::by(column, granularity),
        })
    }

    fn table_options(&mut self, schema: &mut TableSchema) -> Result<(), String> {
        for (option, setting) in self.options()? {
            match (option.as_str(), setting, &mut schema.partitioning) {
                ("partition_expiration_days", Setting::Number(days), Some(partitioning))
                    if days > 0.0 && days < 1e6 =>
                {
                    partitioning.expiration = Some(Duration::from_secs_f64(days * 86_400.0));
                }
                ("require_partition_filter", Setting::Truth(truth), Some(partitioning)) => {
                    partitioning.require_filter = truth;
                }
                _ => {
                    return Err(format!(
                        "the table's option {option} is not understood; supported with PARTITION BY: \
                         partition_expiration_days = number, require_partition_filter = true"
                    ));
                }
            }
        }
        Ok(())
    }

    fn options(&mut self) -> Result<Vec<(String, Setting)>, String> {
        if !self.is(&Token::LParen) {
            return self.expected("`(`");
        }
        let mut options = Vec::new();
        while !self.is(&Token::RParen) {
            if !options.is_empty() && !self.is(&Token::Comma) {
                return self.expected("`,` or `)`");
            }
            let name = self.name("an option")?;
            if !self.is(&Token::Eq) {
                return self.expected("`=`");
            }
            let setting = match self.tokens.pop_front() {
                Some((Token::SingleQuotedString(text) | Token::DoubleQuotedString(text), _)) => {
                    Setting::Text(text)
                }
                Some((Token::Number(digits, _), at)) => {
                    let number = digits.parse();
                    Setting::Number(number.map_err(|_| place(at, "a number"))?)
                }
                Some((Token::Word(word), _)) if word.value.eq_ignore_ascii_case("true") => {
                    Setting::Truth(true)
                }
                Some((Token::Word(word), _)) if word.value.eq_ignore_ascii_case("false") => {
                    Setting::Truth(false)
                }
                Some((_, at)) => return Err(place(at, "a text, a number, true or false")),
                None => return self.expected("a value"),
            };
            options.push((name, setting));
        }
        Ok(options)
    }

    fn name(&mut self, what: &str) -> Result<String, String> {
        match self.tokens.front() {
            Some((Token::Word(_), _)) => match self.tokens.pop_front() {
                Some((Token::Word(word), _)) => Ok(word.value),
                _ => self.expected(what),
            },
            _ => self.expected(what),
        }
    }

    fn keyword(&mut self, keyword: &str) -> Result<(), String> {
        match self.is_keyword(keyword) {
            true => Ok(()),
            false => self.expected(keyword),
        }
    }

    fn is_keyword(&mut self, keyword: &str) -> bool {
        let is = matches!(self.tokens.front(), Some((Token::Word(word), _))
            if word.quote_style.is_none() && word.value.eq_ignore_ascii_case(keyword));
        if is {
            self.tokens.pop_front();
        }
        is
    }

    fn is(&mut self, token: &Token) -> bool {
        let is = self.tokens.front().is_some_and(|next| next.0 == *token);
        if is {
            self.tokens.pop_front();
        }
        is
    }

    /// Takes the end of a list; `>>` ends two.
    fn is_end(&mut self, end: &Token) -> bool {
        if *end == Token::Gt
            && let Some((Token::ShiftRight, at)) = self.tokens.front().cloned()
        {
            self.tokens[0] = (Token::Gt, at);
            return true;
        }
        self.is(end)
    }

    fn expected<T>(&self, what: &str) -> Result<T, String> {
        Err(match self.tokens.front() {
            Some((token, at)) => format!("{}, not `{token}`", place(*at, what)),
            None => format!("at the end of the text: expected {what}"),
        })
    }
}

fn place(at: Location, what: &str) -> String {
    format!("line {}, column {}: expected {what}", at.line, at.column)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_whole_table_is_read() {
        let (name, schema) = TableSchema::from_ddl(
            "CREATE TABLE IF NOT EXISTS `p`.shop.orders (\n  id INT64 NOT NULL OPTIONS(description=\"The order's id\"),\n  at TIMESTAMP,\n  \
             tags ARRAY<STRUCT<key STRING NOT NULL, places ARRAY<STRUCT<x FLOAT64>>>>,\n  note JSON\n)\n\
             PARTITION BY TIMESTAMP_TRUNC(at, HOUR) CLUSTER BY id\n\
             OPTIONS (partition_expiration_days = 1.5, require_partition_filter = true);",
        )
        .unwrap();
        assert_eq!(name, "p.shop.orders");
        assert_eq!(
            schema.columns[0],
            Column::required("id", ColumnType::Int64).description("The order's id")
        );
        let tags = &schema.columns[2];
        assert_eq!(
            (tags.mode, tags.column_type),
            (Mode::Repeated, ColumnType::Struct)
        );
        assert_eq!(tags.fields[0].mode, Mode::Required);
        assert_eq!(tags.fields[1].fields[0].name, "x");
        let partitioning = schema.partitioning.unwrap();
        assert_eq!(partitioning.granularity, Granularity::Hour);
        assert_eq!(partitioning.expiration, Some(Duration::from_secs(129_600)));
        assert!(partitioning.require_filter);
        assert_eq!(schema.clustering, ["id"]);
    }

    #[test]
    fn what_is_not_understood_is_refused_with_its_place() {
        for (text, words) in [
            ("CREATE VIEW v AS SELECT 1", "column 8: expected TABLE"),
            (
                "CREATE TABLE t (a INT64\n  b INT64)",
                "line 2, column 3: expected `,` or `)`",
            ),
            ("CREATE TABLE t (a GEOGRAPHY)", "`a`: the type GEOGRAPHY"),
            (
                "CREATE TABLE t (a ARRAY<ARRAY<INT64>>)",
                "`a`: an ARRAY of ARRAYs",
            ),
            (
                "CREATE TABLE t (a STRUCT<b NUMERIC(10)>)",
                "`a.b`: NUMERIC with a length",
            ),
            (
                "CREATE TABLE t (a INT64) PARTITION BY RANGE_BUCKET(a, x)",
                "RANGE_BUCKET",
            ),
            ("CREATE TABLE t (a INT64) PARTITION BY a", "has to be DATE"),
            ("CREATE TABLE t (a INT64) CLUSTER BY b", "`b` is not among"),
            ("CREATE TABLE t (a INT64) AS SELECT 1", "expected the end"),
            ("CREATE TABLE t (a INT64", "at the end of the text"),
        ] {
            let error = TableSchema::from_ddl(text).expect_err(text);
            assert!(error.contains(words), "{text}: {error}");
        }
    }
}
