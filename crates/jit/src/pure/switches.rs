//! Tests of one number that follow each other, made one decision: lists of hosts, ports and system calls, and the
//! searches that compilers of policies write.
//!
//! ```text
//! if r0 == 10 goto a                    switch r0 {
//! if r0 > 40 goto b else c                  10       → a
//! b: if r0 == 50 goto a else d              50       → a
//! c: if r0 == 12 goto e else d              12       → e
//!                                           else     → d }
//! ```

use sandbpf_isa::{Cond, Reg, Width};

use super::blocks::{BlockId, Blocks, Edge, End, Flow, Item, Switch, Test};

/// More ranges of numbers are not carried from test to test.
const RANGES: u32 = 16;

/// How far a number is followed that was told apart.
const FAR: usize = 8;

/// Numbers from the first to the last.
type Range = (u64, u64);

impl Switch {
    /// The switch for items in the order of their numbers, which do not overlap.
    pub(crate) fn new(
        reg: Reg,
        width: Width,
        all: impl IntoIterator<Item = Item>,
        otherwise: BlockId,
    ) -> Switch {
        let mut items: Vec<Item> = Vec::new();
        for item in all.into_iter().filter(|item| item.to != otherwise) {
            match items.last_mut() {
                Some(last) if last.to == item.to && last.last.checked_add(1) == Some(item.first) => {
                    last.last = item.last;
                }
                _ => items.push(item),
            }
        }
        Switch { reg, width, items, otherwise }
    }
}

/// Makes tests that follow each other one decision.
pub(crate) fn run(blocks: &mut Blocks, flow: &Flow) {
    let tests = (0..blocks.blocks.len() as u32).map(|id| Tested::of(blocks, BlockId(id))).collect();
    let mut gatherer = Gatherer::new(tests, flow);
    for &id in &flow.order {
        if let Some(switch) = gatherer.gather(id) {
            let end = blocks.switch(switch);
            blocks.blocks[id.index()].end = end;
        }
    }
}

/// A block that ends with the test of a register for a number.
#[derive(Clone, Copy)]
struct Tested {
    test: Test,
    number: u64,
    taken: BlockId,
    otherwise: BlockId,
    /// Whether it does nothing else.
    alone: bool,
}

impl Tested {
    fn of(blocks: &Blocks, id: BlockId) -> Option<Tested> {
        let End::Branch {
            test,
            taken: Edge { to: taken, cost: 0 },
            otherwise: Edge { to: otherwise, cost: 0 },
        } = *blocks.end(id)
        else {
            return None;
        };
        use Cond::{Eq, Ge, Gt, Le, Lt, Ne};
        if !matches!(test.cond, Eq | Ne | Gt | Ge | Lt | Le) {
            return None;
        }
        // Every bound must fit into an immediate, which is sign-extended where the test is wide.
        let fits = |number: &u64| test.width == Width::W32 || *number < i32::MAX as u64;
        let number = test.number().filter(fits)?;
        Some(Tested { test, number, taken, otherwise, alone: blocks.steps(id).is_empty() })
    }

    /// The most that its operands can be.
    fn most(&self) -> u64 {
        match self.test.width {
            Width::W32 => u64::from(u32::MAX),
            Width::W64 => u64::MAX,
        }
    }

    /// Where a number leads.
    fn way(&self, value: u64) -> BlockId {
        let holds = match self.test.cond {
            Cond::Eq => value == self.number,
            Cond::Ne => value != self.number,
            Cond::Gt => value > self.number,
            Cond::Ge => value >= self.number,
            Cond::Lt => value < self.number,
            Cond::Le => value <= self.number,
            Cond::Set | Cond::Sgt | Cond::Sge | Cond::Slt | Cond::Sle => {
                unreachable!("these are not gathered")
            }
        };
        if holds { self.taken } else { self.otherwise }
    }

    /// Which numbers of a range are below the border that it draws, and which are not. Where it tells one number apart,
    /// there is none.
    fn split(&self, (first, last): Range) -> (Option<Range>, Option<Range>) {
        let border = match self.test.cond {
            Cond::Gt | Cond::Le => self.number.checked_add(1),
            _ => Some(self.number),
        };
        let range = |first: u64, last: u64| (first <= last).then_some((first, last));
        match border {
            None => (Some((first, last)), None),
            Some(border) => {
                let below = border.checked_sub(1).and_then(|end| range(first, end.min(last)));
                (below, range(border.max(first), last))
            }
        }
    }
}

/// Where a range stands in a list, or none. Small, so that sets are handed on in registers: filters are many, and compiled in
/// microseconds.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Place(u32);

impl Place {
    const NONE: Place = Place(u32::MAX);

    fn there(self) -> Option<Place> {
        (self != Place::NONE).then_some(self)
    }
}

/// A set of ranges, as the place in a list of its last one, which says where the one before stands.
#[derive(Clone, Copy)]
struct Set {
    last: Place,
    len: u32,
}

/// The ranges of all sets.
struct Ranges(Vec<(Range, Place)>);

impl Ranges {
    fn add(&mut self, set: &mut Set, range: Range) {
        self.0.push((range, set.last));
        *set = Set { last: Place(self.0.len() as u32 - 1), len: set.len + 1 };
    }

    /// The numbers of a set that are below the border of a test, and those that are not.
    fn split(&mut self, set: Set, test: &Tested) -> (Set, Set) {
        let (mut low, mut high) = (Set::EMPTY, Set::EMPTY);
        let mut next = set.last;
        while let Some(at) = next.there() {
            let (range, before) = self.get(at);
            let (below, above) = test.split(range);
            below.into_iter().for_each(|range| self.add(&mut low, range));
            above.into_iter().for_each(|range| self.add(&mut high, range));
            next = before;
        }
        (low, high)
    }

    /// Adds the ranges of another set.
    fn join(&mut self, set: &mut Set, other: Set) {
        if set.len == 0 {
            *set = other;
            return;
        }
        let mut next = other.last;
        while let Some(at) = next.there() {
            let (range, before) = self.get(at);
            self.add(set, range);
            next = before;
        }
    }

    /// Whether a number is in one of a set's ranges.
    fn have(&self, set: Set, number: u64) -> bool {
        let mut next = set.last;
        while let Some(at) = next.there() {
            let ((first, last), before) = self.get(at);
            if (first..=last).contains(&number) {
                return true;
            }
            next = before;
        }
        false
    }

    fn get(&self, Place(at): Place) -> (Range, Place) {
        self.0[at as usize]
    }
}

impl Set {
    const EMPTY: Set = Set { last: Place::NONE, len: 0 };
}

/// Gathers tests of one register that follow each other.
struct Gatherer<'f> {
    flow: &'f Flow,
    tests: Vec<Option<Tested>>,
    /// Whether a block is part of a switch, and nothing by itself.
    absorbed: Vec<bool>,
    /// How many ways to a block come from the tests at hand.
    ways: Vec<u32>,
    /// The number of a block's place in `open` and one.
    places: Vec<u32>,
    /// Blocks that the tests at hand lead to, with which numbers.
    open: Vec<(BlockId, Set)>,
    /// Tests that are still to be looked at, by their blocks.
    ready: Vec<(BlockId, Set)>,
    ranges: Ranges,
    found: Found,
}

impl Gatherer<'_> {
    fn new(tests: Vec<Option<Tested>>, flow: &Flow) -> Gatherer<'_> {
        let count = tests.len();
        Gatherer {
            flow,
            tests,
            absorbed: vec![false; count],
            ways: vec![0; count],
            places: vec![0; count],
            open: Vec::new(),
            ready: Vec::new(),
            ranges: Ranges(Vec::with_capacity(8)),
            found: Found {
                points: Vec::with_capacity(count),
                ranges: Vec::new(),
                touched: Vec::with_capacity(2 * count),
            },
        }
    }

    /// The test that a block is, if it does nothing else, and looks at the same register as another one.
    fn member(&self, id: BlockId, of: &Tested) -> Option<Tested> {
        let (reg, width) = (of.test.lhs, of.test.width);
        self.tests[id.index()].filter(|its| its.alone && (its.test.lhs, its.test.width) == (reg, width))
    }

    /// Gathers the tests from this block on; `None` if there is one only.
    fn gather(&mut self, id: BlockId) -> Option<Switch> {
        let head = self.tests[id.index()].filter(|_| !self.absorbed[id.index()])?;
        if self.member(head.taken, &head).is_none() && self.member(head.otherwise, &head).is_none() {
            return None;
        }
        self.open.clear();
        self.ranges.0.clear();
        self.found.clear();
        let mut start = Set::EMPTY;
        self.ranges.add(&mut start, (0, head.most()));
        self.ready.push((id, start));
        let mut tests = 0;
        while let Some((id, set)) = self.ready.pop() {
            if let Some(test) = self.tests[id.index()] {
                tests += 1;
                self.look(&test, set);
            }
        }
        for to in &self.found.touched {
            (self.ways[to.index()], self.places[to.index()]) = (0, 0);
        }
        for &(id, set) in &self.open {
            let mut next = set.last;
            while let Some(at) = next.there() {
                let ((first, last), before) = self.ranges.get(at);
                self.found.ranges.push((first, last, id));
                next = before;
            }
        }
        (tests > 1).then(|| self.found.switch(head.test.lhs, head.test.width))
    }

    /// Finds where a test leads the numbers with which it is come to.
    fn look(&mut self, test: &Tested, set: Set) {
        let Tested { number, taken, otherwise, .. } = *test;
        let (yes, no) = match test.test.cond {
            // The one number that is told apart is found where it leads; the others are taken along with it.
            Cond::Eq => (Set::EMPTY, set),
            Cond::Ne => (set, Set::EMPTY),
            Cond::Lt | Cond::Le => self.ranges.split(set, test),
            _ => {
                let (low, high) = self.ranges.split(set, test);
                (high, low)
            }
        };
        if matches!(test.test.cond, Cond::Eq | Cond::Ne) && self.ranges.have(set, number) {
            let (to, turn) = (self.leads(number, test), self.found.points.len() as u32);
            self.found.points.push(Item { first: number, last: number, to, turn });
        }
        for (to, set) in [(taken, yes), (otherwise, no)] {
            self.found.touched.push(to);
            self.ways[to.index()] += 1;
            let place = &mut self.places[to.index()];
            if *place == 0 && set.len > 0 {
                self.open.push((to, Set::EMPTY));
                *place = self.open.len() as u32;
            }
            let Some(place) = place.checked_sub(1) else { continue };
            let mut its = self.open[place as usize].1;
            self.ranges.join(&mut its, set);
            // Only who is come to in no other way can be a part.
            let every = self.ways[to.index()] == self.flow.ways[to.index()];
            if every && its.len <= RANGES && self.member(to, test).is_some() {
                self.absorbed[to.index()] = true;
                self.ready.push((to, its));
                its = Set::EMPTY;
            }
            self.open[place as usize].1 = its;
        }
    }

    /// Where a number leads from a test on.
    fn leads(&self, number: u64, test: &Tested) -> BlockId {
        let mut to = test.way(number);
        for _ in 0..FAR {
            let Some(next) = self.member(to, test) else { break };
            to = next.way(number);
        }
        to
    }
}

/// Where numbers lead.
struct Found {
    /// Single numbers, as they come: who comes first counts.
    points: Vec<Item>,
    /// Ranges that do not overlap. Points within them lead elsewhere.
    ranges: Vec<(u64, u64, BlockId)>,
    /// Blocks that were come to.
    touched: Vec<BlockId>,
}

impl Found {
    fn clear(&mut self) {
        self.points.clear();
        self.ranges.clear();
        self.touched.clear();
    }

    fn switch(&mut self, reg: Reg, width: Width) -> Switch {
        let points = &mut self.points;
        points.sort_unstable_by_key(|point| (point.first, point.turn));
        points.dedup_by_key(|point| point.first);
        self.ranges.sort_unstable_by_key(|&(first, ..)| first);
        let otherwise = most(&self.ranges);
        let mut items = Vec::with_capacity(2 * points.len() + self.ranges.len());
        let mut points = points.iter().copied().peekable();
        for &(first, last, to) in &self.ranges {
            let part = |first, last| Item { first, last, to, turn: u32::MAX - 1 };
            let mut from = Some(first);
            while let Some(point) = points.next_if(|point| point.first <= last) {
                if let Some(from) = from.filter(|&from| from < point.first) {
                    items.push(part(from, point.first - 1));
                }
                from = point.first.checked_add(1);
                items.push(point);
            }
            if let Some(from) = from.filter(|&from| from <= last) {
                items.push(part(from, last));
            }
        }
        Switch::new(reg, width, items, otherwise)
    }
}

/// Where most numbers lead.
fn most(ranges: &[(u64, u64, BlockId)]) -> BlockId {
    let mut widths: Vec<(BlockId, u64)> =
        ranges.iter().map(|&(first, last, to)| (to, last - first)).collect();
    widths.sort_unstable();
    let groups = widths.chunk_by(|a, b| a.0 == b.0);
    let sums = groups
        .map(|group| (group[0].0, group.iter().fold(0u64, |sum, &(_, width)| sum.saturating_add(width))));
    sums.max_by_key(|&(_, width)| width).map(|(to, _)| to).expect("a region leads somewhere")
}
