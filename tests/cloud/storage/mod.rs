//! Cloud Storage: one suite over an emulator and a server that fails by script, and what happens when things fail.

mod pains;
#[path = "../../connectors/storage/suite/mod.rs"]
mod suite;

use std::sync::Arc;

use pipeline_gcp::cloud::{Cloud, Service};
use pipeline_gcp::storage::CloudStorage;

use self::suite::{Bench, contract, crash, sink, source};
use crate::faults::storage::FaultyStorage;
use crate::servers::StorageFake;

/// Returns the client of a server.
fn cloud(address: &str) -> Cloud {
    let cloud = Cloud::from_env().unwrap();
    cloud.endpoint(Service::Storage, address).unwrap()
}

fn bench(address: &str) -> Bench {
    let storage = CloudStorage::new(&cloud(address), "bucket");
    Bench::new(Arc::new(storage), true)
}

/// Runs a part of the suite over both servers.
macro_rules! over_both {
    ($over:ident, $module:ident: $($test:ident),+) => {
        mod $over {
            use super::*;

            #[test]
            fn emulator() {
                let Some(server) = StorageFake::start("bucket") else {
                    return;
                };
                $($module::$test(&bench(&server.address()).every(9));)+
            }

            $(
                #[test]
                fn $test() {
                    let server = FaultyStorage::start();
                    $module::$test(&bench(&server.address()).every(3));
                }
            )+
        }
    };
}

over_both! { over_contract, contract: objects_are_put_looked_at_listed_and_deleted, nothing_is_overwritten_if_it_must_not, ranges_are_read_and_what_was_replaced_is_told, files_are_uploaded_whole, copies_keep_what_is_there, names_that_are_none_are_refused }
over_both! { over_sink, sink: files_are_divided_by_destination_window_and_shard, late_records_go_to_a_further_part, tables_have_a_header_in_each_file, packed_files_are_read_back, what_cannot_be_named_is_refused, what_is_there_already_stays, a_run_that_fails_leaves_what_was_over, two_files_of_one_name_are_an_error, dead_letters_come_back_to_the_byte }
over_both! { over_crash, crash: every_record_is_there_once_wherever_it_crashes, a_commit_can_be_repeated_at_any_time, what_somebody_else_wrote_meanwhile_stays, what_dead_runs_left_is_cleared_away, pipelines_resume_at_every_moment }
over_both! { over_source, source: lines_of_all_objects_are_read_once, packed_objects_are_read, large_objects_are_shared_out, what_is_replaced_while_it_is_read_is_an_error, new_objects_are_read_as_they_come, positions_go_on_anywhere, what_is_not_there_is_an_error, tables_are_read }
