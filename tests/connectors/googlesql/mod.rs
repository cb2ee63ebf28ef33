//! GoogleSQL on the embedded warehouse.
//!
//! | file | what it proves |
//! |---|---|
//! | `scalars.rs`, `queries.rs` | answers worked out by hand from the rows of `fixture.rs` |
//! | `failures.rs` | what fails on the data, never with a wrong answer |
//! | `refused.rs` | what is refused, with line and column; views |

mod failures;
mod fixture;
mod queries;
mod refused;
mod scalars;
