//! Objects in a folder: the suite that runs over buckets too (`tests/cloud/storage`).

pub mod suite;

mod local;
