//! How invocations are placed, wait, and end.

use super::*;

#[test]
fn an_invocation_is_sent_and_its_report_is_the_reply() {
    let mut world = World::new();
    let worker = world.join(1, 2);
    let function = world.push(spec("f"));
    let id = world.submit(function);
    let order = &world.sent[0].1;
    assert_eq!((order.command.as_slice(), order.input_size), (&["sh".to_owned()][..], InputSize(9)));
    assert_eq!(order.cache.ways().get(), 4);
    world.finish_next(Ending::Exited(3));
    assert!(
        matches!(world.reply(id), Outcome::Ran { worker: at, report } if *at == worker && report.ending == Ending::Exited(3))
    );
    assert!(world.nothing_is_promised() && world.master.is_idle());
    // What failed is no sample.
    assert_eq!(world.master.knowledge(function, InputSize(9)), Ok(Knowledge::Inop));
    world.submit(function);
    world.finish_next(Ending::Exited(0));
    assert_eq!(world.master.knowledge(function, InputSize(9)), Ok(Knowledge::Benchmarked));
    let kinds: Vec<bool> = world.facts.iter().map(|fact| matches!(fact, Record::Sampled(_))).collect();
    assert_eq!(kinds.iter().filter(|&&sampled| sampled).count(), 1);
}

#[test]
fn an_unknown_function_can_be_refused() {
    let mut world = World::new();
    world.join(1, 2);
    let function = world.push(spec("f"));
    let submission = Submission { only_if_known: true, ..Submission::new(function, InputSize(1)) };
    assert_eq!(world.master.submit(world.now, submission).unwrap_err(), SubmitError::NotReady);
    assert_eq!(world.try_submit(FunctionId(99), false), Err(SubmitError::UnknownFunction(FunctionId(99))));
}

#[test]
fn what_does_not_fit_waits_in_order_and_a_full_queue_refuses() {
    let mut world = World::new();
    world.join(1, 1);
    let function = world.push(spec("f"));
    let ids: Vec<InvocationId> = (0..4).map(|_| world.submit(function)).collect();
    assert_eq!((world.sent.len(), world.master.stats().queued), (1, 3));
    assert!(matches!(world.try_submit(function, false), Err(SubmitError::QueueFull { waiting: 3, .. })));
    let ran: Vec<InvocationId> = (0..4).map(|_| world.finish_next(Ending::Exited(0)).invocation).collect();
    assert_eq!(ran, ids);
    assert!(world.nothing_is_promised());
}

#[test]
fn what_fits_no_worker_is_refused_at_once() {
    let mut world = World::new();
    let large = world.push(FunctionSpec { needs: Needs { cores: 3, ..spec("f").needs }, ..spec("f") });
    assert_eq!(world.try_submit(large, false), Err(SubmitError::NoWorkers));
    world.join(1, 2);
    assert_eq!(world.try_submit(large, false), Err(SubmitError::NeverFits));
    world.join(2, 3);
    world.submit(large);
}

#[test]
fn a_large_one_is_overtaken_only_so_often() {
    let mut world = World::new();
    world.join(1, 2);
    let small = world.push(spec("small"));
    let large = world.push(FunctionSpec { needs: Needs { cores: 2, ..spec("f").needs }, ..spec("large") });
    world.submit(small);
    let waiting = world.submit(large);
    let passing = [world.submit(small), world.submit(small), world.submit(small)];
    // One passes at once; another when the first ends; then nobody does until the large one ran.
    let ran: Vec<InvocationId> = (0..5).map(|_| world.finish_next(Ending::Exited(0)).invocation).collect();
    assert_eq!(ran[1..], [passing[0], passing[1], waiting, passing[2]]);
}

#[test]
fn what_a_worker_ends_unasked_is_failed_over_or_lost() {
    let mut world = World::new();
    let (first, second) = (world.join(1, 1), world.join(2, 1));
    let function = world.push(spec("f"));
    let again = world.try_submit(function, true).unwrap();
    let (at, order) = world.sent.remove(0);
    assert_eq!(at, first);
    world.answer(at, order.attempt, Ok(report(order.attempt, Ending::Cancelled, 1.0)));
    assert_eq!(world.sent[0].0, second, "the first is about to stop");
    let (at, order) = world.sent.remove(0);
    world.answer(at, order.attempt, Ok(report(order.attempt, Ending::Cancelled, 1.0)));
    assert!(matches!(world.reply(again), Outcome::Lost(LostReason::Worker)), "{:?}", world.reply(again));
    assert!(world.nothing_is_promised());
}

#[test]
fn an_invocation_cut_off_is_lost_unless_it_may_run_again_once() {
    let mut world = World::new();
    let first = world.join(1, 1);
    let function = world.push(spec("f"));
    let plain = world.submit(function);
    let (_, order) = world.sent.remove(0);
    world.answer(first, order.attempt, Err(broken()));
    assert_eq!(*world.reply(plain), Outcome::Lost(LostReason::Worker));

    let second = world.join(2, 1);
    let again = world.try_submit(function, true).unwrap();
    let (at, order) = world.sent.remove(0);
    world.answer(at, order.attempt, Err(broken()));
    let (elsewhere, retry) = world.sent.remove(0);
    assert_eq!((at, elsewhere), (first, second));
    assert_eq!(retry.attempt, AttemptId { invocation: again, attempt: 1 });
    world.answer(elsewhere, retry.attempt, Err(broken()));
    assert_eq!(*world.reply(again), Outcome::Lost(LostReason::Worker));
    assert!(world.nothing_is_promised());
}

#[test]
fn cancelling_ends_what_waits_at_once_and_what_runs_by_its_report() {
    let mut world = World::new();
    let worker = world.join(1, 1);
    let function = world.push(spec("f"));
    let (running, waiting) = (world.submit(function), world.submit(function));
    let effects = world.master.cancel(world.now, waiting).unwrap();
    world.perform(effects);
    assert_eq!(*world.reply(waiting), Outcome::Cancelled);
    assert_eq!(world.master.cancel(world.now, waiting).unwrap_err(), CancelError::AlreadyEnded(waiting));
    let effects = world.master.cancel(world.now, running).unwrap();
    world.perform(effects);
    assert_eq!(world.cancelled, [(worker, world.sent[0].1.attempt)]);
    assert!(!world.replies.contains_key(&running));
    world.finish_next(Ending::Cancelled);
    assert!(matches!(world.reply(running), Outcome::Ran { .. }));
    let unknown = InvocationId(99);
    assert_eq!(world.master.cancel(world.now, unknown).unwrap_err(), CancelError::Unknown(unknown));
    assert!(world.nothing_is_promised());
}

#[test]
fn what_ran_when_the_master_died_is_lost_once() {
    let mut world = World::new();
    world.join(1, 1);
    let function = world.push(spec("f"));
    world.submit(function);
    world.finish_next(Ending::Exited(0));
    let (running, waiting) = (world.submit(function), world.submit(function));
    let before = world.facts.len();
    let second = World::restart(MasterConfig::default(), &world.facts);
    for id in [running, waiting] {
        let state = &second.master.invocation(id).unwrap().state;
        assert!(matches!(state, InvocationState::Ended { end: EndKind::LostMaster, .. }), "{state:?}");
    }
    assert_eq!(second.facts.len(), before + 2);
    assert_eq!(second.master.knowledge(function, InputSize(9)), Ok(Knowledge::Benchmarked));
    let mut third = World::restart(MasterConfig::default(), &second.facts);
    assert_eq!(third.facts.len(), before + 2);
    third.join(1, 1);
    assert!(third.submit(function) > waiting, "ids are never given twice");
}

#[test]
fn an_invocation_that_could_not_be_kept_ends() {
    let mut world = World::new();
    world.join(1, 1);
    let function = world.push(spec("f"));
    let submission = world.master.submit(world.now, Submission::new(function, InputSize(1)));
    let (id, effects) = submission.unwrap();
    let Some(Effect::Persist { record, .. }) = effects.first() else { panic!("{effects:?}") };
    let effects = world.master.not_persisted(world.now, record, "the disk is full");
    world.perform(effects);
    assert_eq!(*world.reply(id), Outcome::Unplaceable("the disk is full".to_owned()));
    assert!(world.nothing_is_promised() && world.master.is_idle());
}

#[test]
fn a_stopping_master_finishes_what_it_accepted() {
    let mut world = World::new();
    world.join(1, 1);
    let function = world.push(spec("f"));
    world.submit(function);
    world.submit(function);
    world.master.stop();
    assert_eq!(world.try_submit(function, false), Err(SubmitError::Stopping));
    world.finish_next(Ending::Exited(0));
    world.finish_next(Ending::Exited(0));
    assert!(world.master.is_idle());
}
