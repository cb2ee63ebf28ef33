//! The embedded warehouse: BigQuery's stand-in in a folder.
//!
//! A folder holds `warehouse.sqlite` (with SQLite's `-wal` and `-shm` files while it is open) and `warehouse.lock`.
//! When the writer is dropped, and no other process reads, everything is in `warehouse.sqlite`: copy it as you like.
//!
//! - **One writer, many readers.** [`LocalWarehouse::open`] takes an operating-system lock on `warehouse.lock`, which
//!   dies with its process. The write-ahead log lets other processes read meanwhile, each query from one snapshot.
//! - **Durable.** Every call that writes is one transaction with `synchronous=FULL`: the log is on disk (fsync) before
//!   the call returns. A weaker mode would survive a killed process but not a power cut, and then a message
//!   acknowledged after its commit would be lost for good.
//! - **Typed.** The exact schema of each table stands in a table of the warehouse's own, so results have GoogleSQL types.
//! - **Blocking.** Calls do file work on the calling thread: milliseconds for an append, as long as it takes for a query.
//!   On an async runtime give large queries a blocking thread.

mod epochs;
mod failure;
mod journal;
mod layout;
mod lock;
mod query;
mod ready;
#[cfg(test)]
mod tests;
mod warehouse;
mod write;

pub use journal::JournalEntry;
pub use warehouse::LocalWarehouse;
