//! What was taken, as it is to be started.

use std::collections::BTreeMap;

use crate::cache::{ClosId, WayMask};
use crate::id::AttemptId;
use crate::invocation::Order;
use crate::launcher::{Launch, Limits};

/// The longest payload that is in the environment too; the system takes up to 128 KiB for one variable.
const MAX_ENVIRONMENT_PAYLOAD: usize = 64 << 10;

/// An order that was taken, and where it starts. Whoever starts it as a process asks for its [`launch`](Start::launch).
#[derive(Debug, Clone, PartialEq)]
pub struct Start {
    /// The order.
    pub order: Box<Order>,
    /// In which class.
    pub class: ClosId,
    /// On which ways.
    pub mask: WayMask,
    /// What it may use.
    pub limits: Limits,
}

impl Start {
    /// Which try of which invocation.
    pub fn attempt(&self) -> AttemptId {
        self.order.attempt
    }

    /// As a process: with its arguments and environment as texts.
    pub fn launch(self) -> Launch {
        let Self { order, class, mask, limits } = self;
        let input_size = order.input_size.to_string();
        let mut environment = BTreeMap::from([
            ("FSCHED_INVOCATION".to_owned(), order.attempt.to_string()),
            ("FSCHED_FUNCTION".to_owned(), order.function.to_string()),
            ("FSCHED_INPUT_SIZE".to_owned(), input_size.clone()),
            ("FSCHED_WAYS".to_owned(), mask.ways().to_string()),
            ("FSCHED_CORES".to_owned(), order.needs.cores.to_string()),
        ]);
        if let Some(payload) = &order.payload {
            // No variable can hold a NUL; JSON that is JSON has none.
            if payload.len() <= MAX_ENVIRONMENT_PAYLOAD && !payload.contains('\0') {
                environment.insert("FSCHED_PAYLOAD".to_owned(), payload.to_string());
            }
        }
        Launch {
            attempt: order.attempt,
            domain: order.domain,
            class,
            command: order.command,
            file: order.file,
            arguments: vec![input_size],
            environment,
            stdin: order.payload,
            limits,
        }
    }
}
