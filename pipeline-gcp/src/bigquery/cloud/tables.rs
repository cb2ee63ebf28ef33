//! Tables: created, compared, emptied, given new columns.

use google_cloud_bigquery_v2::model;
use serde_json::{Value as Json, json};

use super::client::{CloudBigQuery, failed};
use super::failure::{Failure, Kind};
use super::name::TableName;
use crate::bigquery::error::{BigQueryError, BigQueryErrorKind};
use crate::bigquery::schema::{Granularity, Partitioning, TableSchema, columns_of, fields};
use crate::bigquery::table_options::{CreateDisposition, TableOptions, WriteDisposition};

impl CloudBigQuery {
    pub(super) async fn ready(
        &self,
        table: &str,
        schema: &TableSchema,
        options: TableOptions,
    ) -> Result<(), BigQueryError> {
        let invalid = |reason: String| BigQueryErrorKind::InvalidSchema {
            reason: format!("table `{table}`: {reason}"),
        };
        schema.validate().map_err(invalid)?;
        let name = self.table(table)?;
        let there = match self.find_table(&name).await? {
            Some(there) => there,
            None if options.create == CreateDisposition::Never => {
                return Err(BigQueryErrorKind::TableNotFound {
                    table: name.to_string(),
                }
                .into());
            }
            None => match self.create(&name, schema).await? {
                true => return Ok(()),
                // Somebody else was quicker; whose it is must fit.
                false => still_there(self.find_table(&name).await?, &name)?,
            },
        };
        let fit = schema.fit(&there);
        let mismatch = |difference: Option<String>| match difference {
            None => Ok(()),
            Some(difference) => Err(BigQueryError::from(BigQueryErrorKind::SchemaMismatch {
                table: name.to_string(),
                difference,
            })),
        };
        if options.new_columns && !fit.missing.is_empty() {
            mismatch(fit.difference)?;
            self.add_columns(&name, there.with_columns_of(schema))
                .await?;
        } else {
            mismatch(fit.reason())?;
        }
        match options.write {
            WriteDisposition::Append => Ok(()),
            WriteDisposition::Truncate => {
                let sql = format!("TRUNCATE TABLE `{name}`");
                self.run(&sql).await.map(|_| ())
            }
            WriteDisposition::Empty => {
                let sql = format!("SELECT 1 FROM `{name}` LIMIT 1");
                match self.run(&sql).await?.rows.is_empty() {
                    true => Ok(()),
                    false => Err(BigQueryErrorKind::WrongTableKind {
                        table: name.to_string(),
                        reason:
                            "it has rows, and was to be empty; empty it, name another, or append"
                                .to_owned(),
                    }
                    .into()),
                }
            }
        }
    }

    /// Returns the schema of a table; `None` if it is not there.
    pub(super) async fn find_table(
        &self,
        name: &TableName,
    ) -> Result<Option<TableSchema>, BigQueryError> {
        let call = "tables.get";
        let got = self.call(call, move |clients| async move {
            let request = clients
                .tables
                .get_table()
                .set_project_id(&name.project)
                .set_dataset_id(&name.dataset)
                .set_table_id(&name.table);
            let sent = request.send().await;
            let table = sent.map_err(|error| Failure::of_client(&error))?;
            serde_json::to_value(table)
                .map_err(|error| Failure::new(Kind::Permanent, error.to_string()))
        });
        match got.await {
            Ok(table) => schema_of(&table).map(Some).map_err(|reason| {
                let kind = BigQueryErrorKind::InvalidSchema {
                    reason: format!("table `{name}`: {reason}"),
                };
                kind.into()
            }),
            Err(failure) if failure.kind == Kind::NotFound => Ok(None),
            Err(failure) => Err(failed(call, &name.to_string(), failure)),
        }
    }

    /// Creates a table; tells whether it was not there.
    async fn create(&self, name: &TableName, schema: &TableSchema) -> Result<bool, BigQueryError> {
        let call = "tables.insert";
        let table = &described(name, schema);
        let made = self.call(call, move |clients| async move {
            let table: model::Table = serde_json::from_value(table.clone())
                .map_err(|error| Failure::new(Kind::Permanent, error.to_string()))?;
            let request = clients
                .tables
                .insert_table()
                .set_project_id(&name.project)
                .set_dataset_id(&name.dataset)
                .set_table(table);
            let sent = request.send().await;
            sent.map(|_| ()).map_err(|error| Failure::of_client(&error))
        });
        match made.await {
            Ok(()) => Ok(true),
            Err(failure) if failure.kind == Kind::AlreadyExists => Ok(false),
            Err(failure) => Err(failed(call, &name.to_string(), failure)),
        }
    }

    async fn add_columns(
        &self,
        name: &TableName,
        schema: TableSchema,
    ) -> Result<(), BigQueryError> {
        let call = "tables.patch";
        let table = &json!({"schema": {"fields": fields(&schema.columns)}});
        let patched = self.call(call, move |clients| async move {
            let table: model::Table = serde_json::from_value(table.clone())
                .map_err(|error| Failure::new(Kind::Permanent, error.to_string()))?;
            let request = clients
                .tables
                .patch_table()
                .set_project_id(&name.project)
                .set_dataset_id(&name.dataset)
                .set_table_id(&name.table)
                .set_table(table);
            let sent = request.send().await;
            sent.map(|_| ()).map_err(|error| Failure::of_client(&error))
        });
        let patched = patched.await;
        patched.map_err(|failure| failed(call, &name.to_string(), failure))
    }
}

/// Takes a table that was there a moment ago.
fn still_there(there: Option<TableSchema>, name: &TableName) -> Result<TableSchema, BigQueryError> {
    there.ok_or_else(|| {
        let table = format!("{name} (it was there, and is not any more)");
        BigQueryErrorKind::TableNotFound { table }.into()
    })
}

fn described(name: &TableName, schema: &TableSchema) -> Json {
    let mut table = json!({
        "tableReference": {
            "projectId": name.project,
            "datasetId": name.dataset,
            "tableId": name.table,
        },
        "schema": {"fields": fields(&schema.columns)},
    });
    if let Some(partitioning) = &schema.partitioning {
        let mut wanted = json!({"type": partitioning.granularity.name()});
        if let Some(column) = &partitioning.column {
            wanted["field"] = json!(column);
        }
        if let Some(expiration) = partitioning.expiration {
            wanted["expirationMs"] = json!(expiration.as_millis().to_string());
        }
        table["timePartitioning"] = wanted;
        if partitioning.require_filter {
            table["requirePartitionFilter"] = json!(true);
        }
    }
    if !schema.clustering.is_empty() {
        table["clustering"] = json!({"fields": schema.clustering});
    }
    table
}

fn schema_of(table: &Json) -> Result<TableSchema, String> {
    let schema = table.get("schema").filter(|s| s.get("fields").is_some());
    let columns = schema.map_or(Ok(Vec::new()), columns_of)?;
    let mut schema = TableSchema::new(columns);
    if let Some(partitioning) = table.get("timePartitioning") {
        let text = |key: &str| partitioning.get(key).and_then(Json::as_str);
        let granularity = text("type").and_then(Granularity::parse);
        schema.partitioning = granularity.map(|granularity| Partitioning {
            column: text("field").map(str::to_owned),
            ..Partitioning::by_ingestion(granularity)
        });
    }
    if let Some(list) = table.pointer("/clustering/fields").and_then(Json::as_array) {
        let names = list.iter().filter_map(Json::as_str);
        schema.clustering = names.map(str::to_owned).collect();
    }
    Ok(schema)
}
