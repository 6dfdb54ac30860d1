//! How workers join, fall silent, drain and go.

use super::*;

#[test]
fn a_silent_worker_is_suspected_then_given_up_and_rejoins_by_itself() {
    let mut world = World::new();
    let worker = world.join(1, 2);
    let function = world.push(spec("f"));
    let id = world.submit(function);
    let (_, order) = world.sent.remove(0);
    world.tick(SECOND * 4);
    assert_eq!(world.master.stats().workers_suspect, 1);
    let waiting = world.submit(function);
    assert!(world.sent.is_empty() && world.replies.is_empty());
    world.tick(SECOND * 7);
    assert_eq!(world.master.stats().workers_dead, 1);
    assert_eq!(*world.reply(id), Outcome::Lost(LostReason::Worker));
    // Its report comes after all: one more sample, no second reply.
    world.answer(worker, order.attempt, Ok(report(order.attempt, Ending::Exited(0), 1.0)));
    assert_eq!(world.replies[&id].len(), 1);
    assert_eq!(world.master.knowledge(function, InputSize(9)), Ok(Knowledge::Benchmarked));
    let effects = world.master.inspected(world.now, worker, Ok(heartbeat(1, 2)));
    world.perform(effects);
    assert_eq!(world.sent[0].1.attempt.invocation, waiting);
}

#[test]
fn what_waits_for_workers_that_never_come_back_ends() {
    let mut world = World::new();
    world.join(1, 1);
    let function = world.push(spec("f"));
    world.submit(function);
    let waiting = world.submit(function);
    world.tick(SECOND * 11);
    world.tick(SECOND * 29);
    assert!(!world.replies.contains_key(&waiting));
    world.tick(SECOND * 2);
    assert!(matches!(world.reply(waiting), Outcome::Unplaceable(_)));
    assert!(world.master.is_idle());
}

#[test]
fn a_worker_without_room_is_left_alone_for_a_while() {
    let mut world = World::new();
    let worker = world.join(1, 2);
    let function = world.push(spec("f"));
    world.submit(function);
    let (_, order) = world.sent.remove(0);
    world.answer(worker, order.attempt, Err(Refusal::NoRoom("full".to_owned()).into()));
    assert!(world.sent.is_empty());
    world.pass(SECOND * 2, &[(worker, 1, 2)]);
    assert_eq!(world.sent.remove(0).1.attempt.attempt, 1);
}

#[test]
fn an_unreachable_worker_gets_nothing_until_it_answers() {
    let mut world = World::new();
    let (first, second) = (world.join(1, 2), world.join(2, 2));
    let function = world.push(spec("f"));
    let id = world.submit(function);
    let (_, order) = world.sent.remove(0);
    let unreachable = TransportError::Unreachable { address: "a".into(), reason: "refused".to_owned() };
    world.answer(first, order.attempt, Err(unreachable));
    assert_eq!(world.sent[0].0, second);
    world.submit(function);
    assert_eq!(world.sent[1].0, second);
    world.pass(SECOND, &[(first, 1, 2)]);
    world.submit(function);
    assert_eq!(world.sent[2].0, first);
    world.finish_next(Ending::Exited(0));
    assert!(matches!(world.reply(id), Outcome::Ran { .. }));
}

#[test]
fn the_key_is_who_a_worker_is() {
    let mut world = World::new();
    let worker = world.join(1, 2);
    let (same, effects) = world.master.join(world.now, "elsewhere".into(), heartbeat(1, 2));
    world.perform(effects);
    assert_eq!(same, worker);
    assert_eq!(world.master.workers(world.now).count(), 1);
    // Somebody else answers at its address: that is no sign of life.
    for _ in 0..12 {
        world.tick(SECOND);
        let effects = world.master.inspected(world.now, worker, Ok(heartbeat(9, 2)));
        world.perform(effects);
    }
    assert_eq!(world.master.stats().workers_dead, 1);
    // After a restart it has its id again.
    let mut world = World::restart(MasterConfig::default(), &world.facts);
    assert_eq!(world.master.stats().workers_dead, 1);
    world.tick(SECOND);
    assert_eq!(world.asked, [worker]);
    let effects = world.master.inspected(world.now, worker, Ok(heartbeat(1, 2)));
    world.perform(effects);
    assert_eq!(world.master.stats().workers_alive, 1);
}

#[test]
fn attempts_that_nobody_knows_are_ended() {
    let mut world = World::new();
    let worker = world.join(1, 2);
    let function = world.push(spec("f"));
    world.submit(function);
    let known = world.sent[0].1.attempt;
    let stray = AttemptId { invocation: InvocationId(77), attempt: 0 };
    let heartbeat = Heartbeat { running: vec![known, stray], ..heartbeat(1, 2) };
    let effects = world.master.inspected(world.now, worker, Ok(heartbeat));
    world.perform(effects);
    assert_eq!(world.cancelled, [(worker, stray)]);
}

#[test]
fn a_draining_worker_finishes_what_it_has_and_gets_no_more() {
    let mut world = World::new();
    let worker = world.join(1, 2);
    let function = world.push(spec("f"));
    let running = world.submit(function);
    let effects = world.master.drain(world.now, worker, true).unwrap();
    world.perform(effects);
    assert_eq!(world.try_submit(function, false), Err(SubmitError::NoWorkers));
    world.finish_next(Ending::Exited(0));
    assert!(matches!(world.reply(running), Outcome::Ran { .. }));
    let effects = world.master.drain(world.now, worker, false).unwrap();
    world.perform(effects);
    world.submit(function);
    assert_eq!(world.sent.len(), 1);
    assert_eq!(world.master.drain(world.now, WorkerId(99), true).unwrap_err(), UnknownWorker(WorkerId(99)));
}

#[test]
fn a_removed_worker_goes_when_its_last_invocation_has_ended() {
    let mut world = World::new();
    let worker = world.join(1, 2);
    let function = world.push(spec("f"));
    world.submit(function);
    let (removal, effects) = world.master.remove_worker(world.now, worker).unwrap();
    world.perform(effects);
    assert_eq!((removal, world.master.workers(world.now).count()), (Removal::Waiting(1), 1));
    world.finish_next(Ending::Exited(0));
    assert_eq!(world.master.workers(world.now).count(), 0);
    assert!(world.facts.contains(&Record::WorkerRemoved(worker)));
    assert_eq!(World::restart(MasterConfig::default(), &world.facts).master.workers(world.now).count(), 0);
}

#[test]
fn a_removed_worker_stays_away_until_somebody_adds_it() {
    let mut world = World::new();
    let worker = world.join(1, 2);
    let (_, effects) = world.master.remove_worker(world.now, worker).unwrap();
    world.perform(effects);
    assert_eq!(world.master.register(world.now, "a".into(), heartbeat(1, 2)).unwrap_err(), WorkerRemoved);
    assert_eq!(world.master.workers(world.now).count(), 0);
    let again = world.join(1, 2);
    let (registered, effects) = world.master.register(world.now, "b".into(), heartbeat(1, 2)).unwrap();
    world.perform(effects);
    assert_eq!(registered, again);
}
