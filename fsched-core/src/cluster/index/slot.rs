//! What placing has to know of a domain, in one place.

use super::LEVELS;
use super::tree::{Ever, Now};
use crate::cache::{DomainId, Ways};
use crate::cluster::row::Row;
use crate::cluster::view::{DomainView, WorkerView};
use crate::function::{Isolation, Needs};
use crate::id::WorkerId;
use crate::scheduler::Placement;

/// A domain of a worker; ordered as ties are broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place {
    pub(crate) worker: WorkerId,
    pub(crate) domain: DomainId,
}

impl Place {
    pub(crate) const FIRST: Self = Self { worker: WorkerId(0), domain: DomainId(0) };

    /// To put something here, asking for `ways`.
    pub(crate) fn with(self, ways: Ways) -> Placement {
        Placement { worker: self.worker, domain: self.domain, ways }
    }
}

/// What the orders of the index are made of.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(crate) struct Facts {
    /// Whether its worker takes work and nobody has the domain alone.
    pub(crate) open: bool,
    /// Whether its worker takes work.
    pub(crate) accepting: bool,
    /// Whether its worker may take work again: it is neither dead nor draining.
    pub(crate) present: bool,
    /// Whether nothing is placed in it.
    pub(crate) vacant: bool,
    pub(crate) cores: u16,
    pub(crate) free_cores: u16,
    pub(crate) memory: u64,
    pub(crate) free_memory: u64,
    pub(crate) ways: u8,
    /// The share of free cores, in 2³²nds: equal only for equal shares, as cores are 16 bits.
    pub(crate) load: u64,
    /// Ways that nobody asked for.
    pub(crate) free_ways: u8,
    /// Ways that may be promised exclusively in all, and now; 0: none, or less than a mask has to have.
    pub(crate) exclusive: u8,
    pub(crate) free_exclusive: u8,
    /// What taking so many ways costs.
    pub(crate) extra: [f64; LEVELS],
    /// What a way is worth, seconds; none: there is none to take.
    pub(crate) price: Option<f64>,
}

impl Facts {
    /// Of a domain, of whose cache so many ways are taken at each level.
    pub(super) fn of(worker: &WorkerView, view: &DomainView, levels: &[u8; LEVELS]) -> Self {
        let row = view.residents().row();
        let least = view.geometry().min_ways.get();
        let whole = |ways: u8| if ways < least { 0 } else { ways };
        let accepting = worker.accepts();
        let mut extra = [0.0; LEVELS];
        extra.iter_mut().zip(levels).for_each(|(extra, &ways)| *extra = row.extra(ways));
        Self {
            open: accepting && !view.held_alone,
            accepting,
            present: worker.is_present(),
            vacant: view.placed == 0,
            cores: view.cores,
            free_cores: view.free_cores(),
            load: (u64::from(view.free_cores()) << 32).checked_div(view.cores.into()).unwrap_or(0),
            memory: worker.memory.0,
            free_memory: worker.free_memory().0,
            ways: view.geometry().usable_ways().get(),
            free_ways: view.free_ways(),
            exclusive: whole(view.exclusive_limit()),
            free_exclusive: whole(view.free_exclusive()),
            extra,
            price: row.price(),
        }
    }

    /// Where it stands in the orders of those that take work; none: in none.
    pub(super) fn keys(&self) -> Option<Keys<'_>> {
        self.open.then_some(Keys(self))
    }

    /// What is free in it now, as far as it takes work.
    pub(super) fn now(&self) -> Now {
        if !self.open {
            return Now::default();
        }
        Now {
            open: true,
            vacant: self.vacant,
            cores: self.free_cores,
            memory: self.free_memory,
            exclusive: self.free_exclusive,
        }
    }

    /// What is free in it when it is empty, as far as its worker is there.
    pub(super) fn ever(&self) -> Ever {
        if !self.present {
            return Ever::default();
        }
        Ever { present: true, cores: self.cores, memory: self.memory, exclusive: self.exclusive }
    }

    /// What a way is worth where there is work to be had, as a number that orders like it.
    pub(super) fn price_key(&self) -> Option<u64> {
        self.price.filter(|_| self.accepting).map(f64::to_bits)
    }
}

/// Where a domain stands in the orders of those that take work.
#[derive(Debug, Clone, Copy)]
pub(super) struct Keys<'a>(&'a Facts);

impl Keys<'_> {
    pub(super) fn free_cores(self) -> u16 {
        self.0.free_cores
    }

    pub(super) fn free_memory(self) -> u64 {
        self.0.free_memory
    }

    pub(super) fn load(self) -> u64 {
        self.0.load
    }

    pub(super) fn free_ways(self) -> u8 {
        self.0.free_ways
    }

    /// What taking a level's ways costs.
    pub(super) fn score(self, level: usize) -> u64 {
        // Not negative, so the bits order like the numbers.
        self.0.extra[level].to_bits()
    }
}

#[derive(Debug, Clone)]
pub(crate) struct Slot {
    pub(crate) place: Place,
    pub(crate) kind: u16,
    pub(crate) facts: Facts,
    pub(crate) row: Row,
}

impl Slot {
    pub(super) fn new(worker: &WorkerView, view: &DomainView, kind: u16) -> Self {
        let levels = super::Kind::levels_of(view.geometry());
        Self {
            place: Place { worker: worker.id, domain: view.domain.id },
            kind,
            facts: Facts::of(worker, view, &levels),
            row: *view.residents().row(),
        }
    }

    /// Where it stands in the orders of those that take work; none: in none.
    pub(super) fn keys(&self) -> Option<Keys<'_>> {
        self.facts.keys()
    }

    /// Whether an invocation with these needs fits now, asking for `ways`.
    pub(crate) fn fits_now(&self, needs: &Needs, ways: Ways, alone: bool) -> bool {
        let facts = &self.facts;
        facts.open
            && needs.cores <= facts.free_cores
            && needs.memory.0 <= facts.free_memory
            && (!alone || facts.vacant)
            && (needs.isolation == Isolation::Shared || ways.get() <= facts.free_exclusive)
    }

    /// Whether it would fit if nothing else were placed on its worker.
    pub(crate) fn fits_ever(&self, needs: &Needs) -> bool {
        let facts = &self.facts;
        facts.present
            && needs.cores <= facts.cores
            && needs.memory.0 <= facts.memory
            && (needs.isolation == Isolation::Shared || facts.exclusive > 0)
    }
}
