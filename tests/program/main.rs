//! The program `courier_chat`, run as a person runs it: flags in, exit code, texts and files out.
//!
//! | module | what it holds the program to |
//! |---|---|
//! | [`sample`] | the expected table of the sample data, in every mode |
//! | [`dirty`] | every kind of bad record, and what becomes of it |
//! | [`memory`] | a line far longer than the memory it may take |
//! | [`cities`] | orders with two cities, and with none |
//! | [`flags`] | what is refused, and that it is refused before any work |
//! | [`failures`] | full disks and broken inputs leave nothing half-written |
//! | [`warehouses`] | warehouses that are foreign, in use, or filled before |
//! | [`stdin`] | standard input, slow and without end |
//! | [`pipes`] | pipes of another name than `-` |
//! | [`generated`] | generated conversations |
//! | [`stop`] | Ctrl-C, once and twice, and SIGTERM |
//! | [`live`] | results while the input still comes |

mod child;
mod cities;
mod dirty;
mod failures;
mod flags;
mod generated;
mod live;
mod memory;
mod pipes;
mod sample;
mod stdin;
mod stop;
mod warehouses;
