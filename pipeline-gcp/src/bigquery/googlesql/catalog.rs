//! What a query can name in FROM.

use std::collections::HashMap;

use crate::bigquery::schema::ColumnType;

/// A table or view of the warehouse.
#[derive(Debug, Clone)]
pub(crate) enum Object {
    /// A table with its columns in order.
    Table { columns: Vec<(String, ColumnType)> },
    /// A view with the text of its `CREATE VIEW`.
    View { sql: String },
}

/// The tables and views by name.
#[derive(Debug, Clone, Default)]
pub(crate) struct Catalog {
    objects: HashMap<String, Object>,
}

impl Catalog {
    pub fn insert(&mut self, name: String, object: Object) {
        self.objects.insert(name, object);
    }

    /// Finds a table or view; names are case sensitive, as in BigQuery.
    pub fn get(&self, name: &str) -> Option<&Object> {
        self.objects.get(name)
    }

    /// Lists the names in order, for messages.
    pub fn names(&self) -> String {
        let mut names: Vec<_> = self.objects.keys().map(String::as_str).collect();
        names.sort_unstable();
        if names.is_empty() {
            "none".to_owned()
        } else {
            names.join(", ")
        }
    }
}
