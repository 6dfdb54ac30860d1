//! How functions' files get to workers, and versions come and go.

use super::*;

#[test]
fn a_missing_file_is_brought_once_for_all_who_wait() {
    let mut world = World::new();
    let worker = world.join(1, 2);
    let function = world.push(spec("f"));
    world.submit(function);
    world.submit(function);
    for _ in 0..2 {
        let (worker, order) = world.sent.remove(0);
        world.answer(worker, order.attempt, Err(Refusal::MissingFile.into()));
    }
    let file = spec("f").file;
    assert_eq!(world.transfers, [(worker, file)]);
    assert_eq!(world.master.stats().fetching, 2);
    // Damaged on the way: sent again.
    let damaged = TransportError::Damaged { address: "a".into(), file };
    let effects = world.master.transferred(world.now, worker, file, Err(damaged));
    world.perform(effects);
    assert_eq!(world.transfers.len(), 2);
    let effects = world.master.transferred(world.now, worker, file, Ok(()));
    world.perform(effects);
    assert_eq!(world.sent.len(), 2);
    world.finish_next(Ending::Exited(0));
    world.submit(function);
    assert_eq!((world.sent.len(), world.transfers.len()), (2, 2));
}

#[test]
fn a_worker_that_never_gets_the_file_whole_is_given_up_for_another() {
    let mut world = World::new();
    let (bad, good) = (world.join(1, 1), world.join(2, 1));
    let function = world.push(spec("f"));
    world.submit(function);
    let (_, order) = world.sent.remove(0);
    world.answer(bad, order.attempt, Err(Refusal::MissingFile.into()));
    for _ in 0..3 {
        let damaged = TransportError::Damaged { address: "a".into(), file: order.file };
        let effects = world.master.transferred(world.now, bad, order.file, Err(damaged));
        world.perform(effects);
    }
    assert_eq!(world.transfers.len(), 3);
    assert_eq!(world.sent[0].0, good);
    world.finish_next(Ending::Exited(0));
    assert!(world.nothing_is_promised());
}

#[test]
fn an_invocation_whose_file_gets_nowhere_ends() {
    let mut world = World::new();
    let worker = world.join(1, 1);
    let function = world.push(spec("f"));
    let id = world.submit(function);
    let (_, order) = world.sent.remove(0);
    world.answer(worker, order.attempt, Err(Refusal::MissingFile.into()));
    let mut tried = 0;
    while !world.replies.contains_key(&id) {
        if tried < world.transfers.len() {
            tried += 1;
            let damaged = TransportError::Damaged { address: "a".into(), file: order.file };
            let effects = world.master.transferred(world.now, worker, order.file, Err(damaged));
            world.perform(effects);
        } else {
            world.pass(SECOND, &[(worker, 1, 1)]);
        }
        assert!(tried < 50, "it is tried for ever");
    }
    assert!(matches!(world.reply(id), Outcome::Unplaceable(_)), "{:?}", world.reply(id));
    assert!(tried > 3, "a second look at the worker is worth it");
    assert!(world.nothing_is_promised());
}

#[test]
fn a_new_version_starts_afresh_and_old_ones_are_collected() {
    let mut world = World::restart(MasterConfig { versions: 1, ..MasterConfig::default() }, &[]);
    let worker = world.join(1, 1);
    let old = world.push(spec("f"));
    world.submit(old);
    let new = world.push(FunctionSpec { file: ContentHash([8; 32]), ..spec("f") });
    assert_eq!(world.master.latest(&"f".parse().unwrap()).unwrap().id, new);
    assert_eq!(world.try_submit(old, false), Err(SubmitError::UnknownFunction(old)));
    assert!(world.removed_files.is_empty());
    world.finish_next(Ending::Exited(0));
    assert_eq!(world.removed_files, [spec("f").file]);
    assert_eq!(world.discarded, [(worker, spec("f").file)]);
    assert_eq!(world.master.knowledge(new, InputSize(9)), Ok(Knowledge::Inop));
}

#[test]
fn a_function_that_could_not_be_kept_is_taken_back() {
    let mut world = World::new();
    let (function, effects) = world.master.push(world.now, spec("f"));
    let Some(Effect::Persist { record, durable: true }) = effects.first() else { panic!("{effects:?}") };
    let effects = world.master.not_persisted(world.now, record, "full");
    world.perform(effects);
    assert_eq!(world.master.function(function.id), None);
    assert_eq!(world.removed_files, [spec("f").file]);
}
