//! The suite over a folder.

use std::sync::Arc;

use pipeline_gcp::storage::{LocalStorage, Storage};

use super::suite::{Bench, contract, crash, sink, source};

/// A bench over a folder that is gone with it.
fn bench() -> (tempfile::TempDir, Bench) {
    let folder = tempfile::tempdir().unwrap();
    let storage: Arc<dyn Storage> = Arc::new(LocalStorage::new(folder.path().join("bucket")));
    (folder, Bench::new(storage, false))
}

macro_rules! over_a_folder {
    ($($module:ident: $($test:ident),+;)+) => {
        $($(
            #[test]
            fn $test() {
                let (_folder, bench) = bench();
                $module::$test(&bench);
            }
        )+)+
    };
}

over_a_folder! {
    contract: objects_are_put_looked_at_listed_and_deleted, nothing_is_overwritten_if_it_must_not,
        ranges_are_read_and_what_was_replaced_is_told, files_are_uploaded_whole, copies_keep_what_is_there,
        names_that_are_none_are_refused;
    sink: files_are_divided_by_destination_window_and_shard, late_records_go_to_a_further_part,
        tables_have_a_header_in_each_file, packed_files_are_read_back, what_cannot_be_named_is_refused,
        what_is_there_already_stays, a_run_that_fails_leaves_what_was_over,
        two_files_of_one_name_are_an_error, dead_letters_come_back_to_the_byte;
    crash: every_record_is_there_once_wherever_it_crashes, a_commit_can_be_repeated_at_any_time,
        what_somebody_else_wrote_meanwhile_stays, what_dead_runs_left_is_cleared_away,
        pipelines_resume_at_every_moment;
    source: lines_of_all_objects_are_read_once, packed_objects_are_read, large_objects_are_shared_out,
        what_is_replaced_while_it_is_read_is_an_error, new_objects_are_read_as_they_come,
        positions_go_on_anywhere, what_is_not_there_is_an_error, tables_are_read;
}
