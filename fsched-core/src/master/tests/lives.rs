//! Random clusters and invocations: whatever happens, each ends exactly once, and promises are kept.

use proptest::prelude::*;

use super::*;

#[derive(Debug, Clone)]
enum Step {
    Join { key: u8, cores: u16 },
    Submit { function: usize, idempotent: bool },
    Benchmark { function: usize },
    Finish { which: usize, how: u8 },
    Transfer { which: usize, fails: bool },
    Cancel { which: usize },
    Drain { worker: usize, draining: bool },
    Remove { worker: usize },
    Pass { seconds: u64, answering: bool },
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        1 => (0u8..4, 1u16..4).prop_map(|(key, cores)| Step::Join { key, cores }),
        6 => (0usize..3, any::<bool>()).prop_map(|(function, idempotent)| Step::Submit { function, idempotent }),
        1 => (0usize..3).prop_map(|function| Step::Benchmark { function }),
        8 => (any::<usize>(), 0u8..10).prop_map(|(which, how)| Step::Finish { which, how }),
        2 => (any::<usize>(), any::<bool>()).prop_map(|(which, fails)| Step::Transfer { which, fails }),
        1 => any::<usize>().prop_map(|which| Step::Cancel { which }),
        1 => (0usize..4, any::<bool>()).prop_map(|(worker, draining)| Step::Drain { worker, draining }),
        1 => (0usize..4).prop_map(|worker| Step::Remove { worker }),
        2 => (1u64..13, any::<bool>()).prop_map(|(seconds, answering)| Step::Pass { seconds, answering }),
    ];
    proptest::collection::vec(step, 1..80)
}

impl World {
    fn step(&mut self, step: &Step, functions: &[FunctionId], accepted: &mut Vec<InvocationId>) {
        let now = self.now;
        let workers: Vec<WorkerId> = self.master.workers(now).map(|info| info.id).collect();
        match *step {
            Step::Join { key, cores } => {
                self.join(key, cores);
            }
            Step::Submit { function, idempotent } => {
                accepted.extend(self.try_submit(functions[function], idempotent));
            }
            Step::Benchmark { function } => {
                let request = BenchmarkRequest::new(functions[function], InputSize(5));
                if let Ok((_, effects)) = self.master.benchmark(now, request) {
                    self.perform(effects);
                }
            }
            Step::Finish { which, how } if !self.sent.is_empty() => {
                let (worker, order) = self.sent.remove(which % self.sent.len());
                let answer = match how {
                    0 => Err(broken()),
                    1 => Err(TransportError::Unreachable { address: "a".into(), reason: String::new() }),
                    2 => Err(Refusal::MissingFile.into()),
                    3 => Err(Refusal::NoRoom(String::new()).into()),
                    4 => Err(Refusal::Stopping.into()),
                    5 => Ok(report(order.attempt, Ending::Exited(1), 0.5)),
                    6 => Ok(report(order.attempt, Ending::TimedOut, 0.5)),
                    _ => Ok(report(order.attempt, Ending::Exited(0), 0.5)),
                };
                self.answer(worker, order.attempt, answer);
            }
            Step::Transfer { which, fails } if !self.transfers.is_empty() => {
                let (worker, file) = self.transfers.remove(which % self.transfers.len());
                let damaged = TransportError::Damaged { address: "a".into(), file };
                let effects =
                    self.master.transferred(now, worker, file, if fails { Err(damaged) } else { Ok(()) });
                self.perform(effects);
            }
            Step::Cancel { which } if !accepted.is_empty() => {
                if let Ok(effects) = self.master.cancel(now, accepted[which % accepted.len()]) {
                    self.perform(effects);
                }
            }
            Step::Drain { worker, draining } if !workers.is_empty() => {
                let effects = self.master.drain(now, workers[worker % workers.len()], draining).unwrap();
                self.perform(effects);
            }
            Step::Remove { worker } if !workers.is_empty() => {
                let (_, effects) = self.master.remove_worker(now, workers[worker % workers.len()]).unwrap();
                self.perform(effects);
            }
            Step::Pass { seconds, answering } => {
                self.now = now + Duration::from_secs(seconds);
                if answering {
                    let infos: Vec<WorkerInfo> = self.master.workers(self.now).collect();
                    for info in infos {
                        let heartbeat = info.heartbeat.unwrap_or_else(|| heartbeat(info.key.0[0], 2));
                        let effects = self.master.inspected(self.now, info.id, Ok(heartbeat));
                        self.perform(effects);
                    }
                }
                self.tick(Duration::ZERO);
            }
            _ => {}
        }
    }

    /// Promises never exceed what there is, and are exactly those of the attempts that are out.
    fn check_promises(&self) {
        for worker in self.master.members.view().workers() {
            assert!(worker.reserved_memory <= worker.memory, "{worker:?}");
            let mut placed = 0;
            for domain in worker.domains.values() {
                assert!(domain.reserved_exclusive <= domain.exclusive_limit(), "{domain:?}");
                assert!(!domain.held_alone || domain.placed == 1, "{domain:?}");
                placed += domain.placed as usize;
            }
            assert_eq!(placed, self.master.members.promised(worker.id).unwrap());
        }
        let placed = self.master.live.count(|live| {
            matches!(
                live.invocation.state,
                InvocationState::Fetching { .. } | InvocationState::Running { .. }
            )
        });
        let promised: usize =
            self.master.members.ids().filter_map(|id| self.master.members.promised(id)).sum();
        assert_eq!(placed, promised);
        let queued = self.master.live.count(|live| live.invocation.state == InvocationState::Queued);
        assert_eq!(queued, self.master.queue.len());
    }
}

proptest! {
    #[test]
    fn whatever_happens_every_accepted_invocation_ends_exactly_once(steps in steps()) {
        let mut world = World::restart(MasterConfig { queue: 4, max_overtakes: 2, ..MasterConfig::default() }, &[]);
        let exclusive = Needs { isolation: Isolation::Exclusive, ..spec("b").needs };
        let functions = [
            world.push(spec("a")),
            world.push(FunctionSpec { needs: exclusive, ..spec("b") }),
            world.push(FunctionSpec { needs: Needs { cores: 2, ..spec("c").needs }, ..spec("c") }),
        ];
        let mut accepted = Vec::new();
        for step in &steps {
            world.step(step, &functions, &mut accepted);
            world.check_promises();
        }
        // Everything is answered, time passes, nobody comes back.
        for _ in 0..500 {
            match (world.sent.is_empty(), world.transfers.is_empty()) {
                (false, _) => { world.finish_next(Ending::Exited(0)); }
                (true, false) => world.step(&Step::Transfer { which: 0, fails: false }, &functions, &mut accepted),
                (true, true) => break,
            }
            world.check_promises();
        }
        for _ in 0..30 {
            world.tick(SECOND * 4);
            while !world.sent.is_empty() {
                world.finish_next(Ending::Exited(0));
            }
            while !world.transfers.is_empty() {
                world.step(&Step::Transfer { which: 0, fails: false }, &functions, &mut accepted);
            }
        }
        prop_assert!(world.master.is_idle(), "{:?}", world.master.live);
        prop_assert!(world.nothing_is_promised());
        for id in &accepted {
            prop_assert_eq!(world.replies.get(id).map(Vec::len), Some(1), "{}", id);
            let ends = world.facts.iter().filter(|fact| matches!(fact, Record::Ended { id: ended, .. } if ended == id));
            prop_assert_eq!(ends.count(), 1);
        }
    }
}
