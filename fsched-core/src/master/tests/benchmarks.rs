//! What a benchmark runs and says.

use super::*;

#[test]
fn a_benchmark_runs_alone_and_says_how_noisy_it_was() {
    let mut world = World::new();
    world.join(1, 2);
    let function = world.push(spec("f"));
    let neighbour = world.submit(function);
    let request = BenchmarkRequest::new(function, InputSize(5));
    let (id, effects) = world.master.benchmark(world.now, request).unwrap();
    world.perform(effects);
    assert_eq!(world.sent.len(), 1, "the benchmark waits until it is alone");
    assert_eq!(world.finish_next(Ending::Exited(0)).invocation, neighbour);
    assert!(world.sent[0].1.alone);
    let other = world.submit(function);
    assert_eq!(world.sent.len(), 1, "nobody runs beside it");
    // A warm-up that is slow, then three equal runs.
    for seconds in [9.0, 1.0, 1.0, 1.0] {
        let (worker, order) = world.sent.remove(0);
        assert_eq!(order.cache.ways().get(), 8);
        world.answer(worker, order.attempt, Ok(report(order.attempt, Ending::Exited(0), seconds)));
    }
    let result = world.benchmarks[&id].as_ref().unwrap();
    assert_eq!((result.enforced, result.runs, result.too_noisy), (false, 4, false));
    assert_eq!((result.points.len(), result.points[0].median), (1, 1.0));
    assert_eq!(world.sent[0].1.attempt.invocation, other);
    world.finish_next(Ending::Exited(0));
    assert!(world.nothing_is_promised() && world.master.is_idle());
    // Neither the neighbours nor the warm-up count as benchmark samples.
    let marks = world.facts.iter().filter(|fact| matches!(fact, Record::Sampled(sample) if sample.benchmark));
    assert_eq!(marks.count(), 3);
}

#[test]
fn a_benchmark_with_enforced_masks_runs_what_the_predictor_asks_for() {
    let mut world = World::new();
    let enforced = Heartbeat { enforced: true, ..heartbeat(1, 2) };
    world.perform(Vec::new());
    let (_, effects) = world.master.join(world.now, "a".into(), enforced);
    world.perform(effects);
    let function = world.push(spec("f"));
    let request = BenchmarkRequest::new(function, InputSize(5));
    let (id, effects) = world.master.benchmark(world.now, request).unwrap();
    world.perform(effects);
    let mut ways = Vec::new();
    while !world.sent.is_empty() {
        let (worker, order) = world.sent.remove(0);
        ways.push(order.cache.ways().get());
        // One way is slow, and so noisy that it is run three times as often.
        let seconds = if order.cache.ways().get() == 8 { 1.0 } else { 2.0 + ways.len() as f64 };
        world.answer(worker, order.attempt, Ok(report(order.attempt, Ending::Exited(0), seconds)));
    }
    assert_eq!(ways, [8, 8, 8, 8, 1, 1, 1, 1, 1, 1, 1, 1, 1]);
    let result = world.benchmarks[&id].as_ref().unwrap();
    assert!(result.too_noisy && result.enforced);
    assert_eq!(result.points.len(), 2);
}

#[test]
fn a_failing_run_ends_the_benchmark() {
    let mut world = World::new();
    world.join(1, 2);
    let function = world.push(spec("f"));
    let request = BenchmarkRequest::new(function, InputSize(5));
    let (id, effects) = world.master.benchmark(world.now, request.clone()).unwrap();
    world.perform(effects);
    world.finish_next(Ending::Exited(1));
    assert!(matches!(world.benchmarks[&id], Err(BenchmarkError::Failed { .. })));
    assert!(world.nothing_is_promised() && world.master.is_idle());
    // Nobody waits any more: its run is ended too.
    let (id, effects) = world.master.benchmark(world.now, request).unwrap();
    world.perform(effects);
    let effects = world.master.cancel_benchmark(world.now, id);
    world.perform(effects);
    assert_eq!(world.benchmarks[&id], Err(BenchmarkError::Cancelled));
    assert_eq!(world.cancelled.len(), 1);
    world.finish_next(Ending::Cancelled);
    assert!(world.nothing_is_promised() && world.master.is_idle());
}
