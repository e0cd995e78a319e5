//! Bugs that somebody could have written in what people ask for beside the files: a story finds each.

use compose_operator::core::planted::{Bug, plant};

use crate::{content, cost, planned, rollback, rollout, sync, traffic, verbs};

/// A story, and a bug that must spoil it.
const STORIES: [(Bug, fn()); 13] = [
    (
        Bug::ScalesForEver,
        verbs::another_number_of_replicas_holds_until_it_ends_by_itself_and_outlives_the_operator,
    ),
    (
        Bug::IgnoresRestarts,
        verbs::a_restart_goes_from_one_replica_to_the_next_when_that_is_ready_and_makes_nothing_new,
    ),
    (
        Bug::RestartsAllAtOnce,
        verbs::a_restart_goes_from_one_replica_to_the_next_when_that_is_ready_and_makes_nothing_new,
    ),
    (
        Bug::NeverBringsBack,
        rollback::the_very_image_of_then_is_held_over_a_restart_and_nothing_is_replaced_twice,
    ),
    (
        Bug::RunsImageByName,
        rollback::the_very_image_of_then_is_held_over_a_restart_and_nothing_is_replaced_twice,
    ),
    (Bug::IgnoresContent, content::another_content_is_another_container_by_the_rules_of_a_rollout),
    (
        Bug::ReplacesToTell,
        content::a_program_that_is_signalled_is_so_once_for_each_change_and_never_restarted,
    ),
    (Bug::ExceedsPlan, planned::before_a_step_that_is_not_planned_nothing_more_is_begun),
    (Bug::StopsUndrained, traffic::an_old_replica_is_taken_out_and_drained_before_it_stops),
    (Bug::ChangesInPart, rollout::an_atomic_change_becomes_ready_whole_or_goes_back_whole),
    (
        Bug::ForetellsBlindly,
        cost::one_that_is_checked_more_or_less_often_from_now_on_is_found_ready_when_that_would_find_it,
    ),
    (Bug::IgnoresTurns, sync::a_wave_waits_until_those_before_it_are_as_they_should_be),
    (Bug::RunsJobsOnce, sync::a_job_runs_once_before_a_change_or_after_it),
];

#[test]
fn every_bug_of_what_people_ask_for_spoils_a_story() {
    let survivors: Vec<Bug> = Bug::OF_STORIES.into_iter().filter(|bug| !is_found(*bug)).collect();
    assert_eq!(survivors, []);
}

fn is_found(bug: Bug) -> bool {
    let mut stories = STORIES.iter().filter(|(spoils, _)| *spoils == bug);
    stories.any(|(_, story)| {
        story();
        plant(Some(bug));
        let told = std::panic::catch_unwind(story);
        plant(None);
        told.is_err()
    })
}
