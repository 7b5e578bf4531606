//! Real sockets in namespaces of their own, read by the built binary: by every source, and held
//! against getsockopt(2) in the owning process, ss, and Redis.
//!
//! The tests run from a `main` of our own, since this binary is also what they start when they need
//! a process that does something: see [`kit::fixture`].

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod churn;
mod deaths;
mod kinds;
mod kit;
mod namespaces;
mod owners;
mod rearm;
mod redis;
mod refusals;
mod rights;
mod selectors;

use std::process::ExitCode;

use libtest_mimic::{Arguments, Trial};

/// A test; it fails by panicking.
type Test = fn();

macro_rules! tests {
    ($($module:ident::$name:ident),* $(,)?) => {
        [$((stringify!($name), $module::$name as Test)),*]
    };
}

fn main() -> ExitCode {
    if let Some(code) = kit::fixture::run_if_asked() {
        return code;
    }
    let trials = tests![
        kit::lines_of_ss_are_understood,
        kinds::root_every_kind_is_read_rightly_by_every_source,
        kinds::root_every_source_agrees_with_ss,
        kinds::root_closed_sockets_are_shown_when_asked_for,
        kinds::root_a_connection_request_has_no_settings,
        kinds::root_sources_agree_with_each_other,
        kinds::root_sequence_numbers_are_those_of_the_other_end,
        namespaces::root_unnamed_and_named_namespaces_are_in_one_list,
        namespaces::root_namespaces_are_chosen_by_name_process_and_self,
        namespaces::root_sockets_of_a_namespace_without_processes_are_seen,
        namespaces::root_a_namespace_may_vanish_during_the_read,
        churn::root_stable_sockets_are_listed_once_amid_churn,
        churn::root_memory_does_not_grow_with_sockets,
        churn::root_a_reader_that_has_enough_is_no_error,
        churn::root_every_source_shows_each_of_thousands_once,
        deaths::root_deaths_come_when_they_were_predicted,
        owners::root_a_shared_socket_has_all_its_processes,
        owners::root_a_pre_forked_listener_belongs_to_its_workers,
        owners::root_bad_names_are_escaped_in_tables_and_right_in_json,
        rearm::root_a_lowered_default_reaches_armed_timers,
        rearm::root_timers_that_may_not_be_seen_are_not_called_none,
        rearm::root_an_interrupted_rearm_says_what_was_done,
        redis::root_redis_and_every_source_agree,
        rights::root_a_user_without_rights_sees_the_own_connections,
        rights::root_a_user_without_rights_gets_an_audit,
        rights::root_a_source_that_is_not_permitted_names_the_capability,
        rights::root_in_a_user_namespace_the_own_connections_are_seen,
        selectors::root_selectors_choose_what_they_say,
        selectors::root_the_audit_counts_what_the_list_shows,
        selectors::root_explain_tells_what_the_list_shows,
        refusals::values_that_mean_nothing_are_refused,
        refusals::root_the_faulty_iterator_is_refused_by_name,
        refusals::a_broken_pipe_is_success,
        refusals::output_that_cannot_be_written_is_an_error,
        refusals::root_hidepid_is_said,
        refusals::root_without_proc_nothing_is_read,
        refusals::root_without_bpf_the_next_source_serves,
        refusals::root_bpf_that_is_not_there_is_said,
    ]
    .into_iter()
    .map(|(name, test)| {
        Trial::test(name, move || {
            // A test that lacks root has said so.
            if !name.starts_with("root_") || kit::is_root(name) {
                test();
            }
            Ok(())
        })
    })
    .collect();
    let mut arguments = Arguments::from_args();
    // One at a time in one process: what a test forks holds the descriptors of all for a moment.
    // cargo-nextest gives each test a process of its own.
    arguments.test_threads.get_or_insert(1);
    libtest_mimic::run(&arguments, trials).exit_code()
}
