//! How numbers are told apart: a plan of comparisons, bits and tables.
//!
//! ```text
//! a few                one comparison after the other
//! close to each other  the bits of a word, or of a table: which of these numbers lead there
//! many, far apart      a table of buckets, found by multiplication
//! the rest             halves of halves
//! ```

use std::iter::Peekable;

use sandbpf_isa::Width;

use super::blocks::{BlockId, Item, Switch};

/// A plan. What it does not find is as if it was not asked: control goes on behind it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Plan {
    /// Looks at one after the other.
    Each(Vec<Plan>),
    /// Whether the number lies in a range.
    Range(Item),
    /// Numbers from `at` on are `high`, others `low`.
    Half { at: u64, low: Box<Plan>, high: Box<Plan> },
    /// Of the numbers from `first` to `last`, those whose bit is set lead there. The others are left to the rest.
    Bits { first: u64, last: u64, bits: Vec<u64>, to: BlockId, rest: Box<Plan> },
    /// The numbers of a table lead there.
    Table { table: Buckets, to: BlockId },
}

/// More than so many are not looked at one after the other.
const FEW: usize = 4;
/// So many numbers of one place, at least, are bits of a word …
const BITS: usize = 3;
/// … or of a table, …
const MANY_BITS: usize = 6;
/// … which is no longer than this.
const SPAN: u64 = 2048;
/// No more items than these are looked at for one crowd.
const CROWD: usize = 256;
/// So many numbers of one place, at least, are put into buckets.
const HASHED: usize = 12;

/// The plan for a switch.
pub(crate) fn plan(switch: &Switch) -> Plan {
    let mut parts = Vec::with_capacity(switch.items.len());
    let mut rest = &switch.items[..];
    while !rest.is_empty() {
        let (part, after) = match near(rest) {
            Some(near) => crowd(near, rest),
            None => (Plan::Range(rest[0]), &rest[1..]),
        };
        parts.push(part);
        rest = after;
    }
    let table = if switch.width == Width::W32 { table(&mut parts) } else { None };
    let search = halves(parts);
    match (table, search) {
        (None, search) => search,
        (Some(table), Plan::Each(parts)) if parts.is_empty() => table,
        (Some(table), search) => Plan::Each(vec![table, search]),
    }
}

/// Whether numbers are told apart only by what they are, and not by their size or how close they stand.
pub(crate) fn asks_for_equality(switch: &Switch) -> bool {
    let items = &switch.items;
    items.iter().all(Item::single) && (0..items.len()).all(|at| near(&items[at..]).is_none())
}

impl Plan {
    fn first(&self) -> u64 {
        match self {
            Plan::Range(item) => item.first,
            Plan::Bits { first, .. } => *first,
            Plan::Each(_) | Plan::Half { .. } | Plan::Table { .. } => {
                unreachable!("crowds are ranges or bits")
            }
        }
    }
}

/// How many items at the start stand close enough to be bits, if most lead where the first leads.
fn near(items: &[Item]) -> Option<usize> {
    let Item { first, to, .. } = items[0];
    [(SPAN, MANY_BITS), (64, BITS)].into_iter().find_map(|(span, least)| {
        let near = items.iter().take(CROWD).take_while(|item| item.last - first < span).count();
        if near < least {
            return None;
        }
        let these = items[..near].iter().filter(|item| item.to == to).count();
        let end = items[..near].iter().rposition(|item| item.to == to)? + 1;
        (these >= least && 2 * these >= near).then_some(end)
    })
}

/// So many items at the start as bits.
fn crowd(near: usize, items: &[Item]) -> (Plan, &[Item]) {
    let Item { first, to, .. } = items[0];
    let (crowd, after) = items.split_at(near);
    let last = crowd[crowd.len() - 1].last;
    let mut bits = vec![0u64; ((last - first) / 64 + 1) as usize];
    let these = crowd.iter().filter(|item| item.to == to);
    for number in these.flat_map(|item| item.first..=item.last) {
        bits[((number - first) / 64) as usize] |= 1 << ((number - first) % 64);
    }
    let others = crowd.iter().filter(|item| item.to != to);
    let rest = Box::new(halves(others.copied().map(Plan::Range).collect()));
    (Plan::Bits { first, last, bits, to, rest }, after)
}

/// Takes the single numbers of one place out of a plan's parts, and puts them into buckets, if they are many.
fn table(parts: &mut Vec<Plan>) -> Option<Plan> {
    let single = |part: &Plan| match part {
        Plan::Range(item) if item.single() => Some(*item),
        _ => None,
    };
    if parts.len() < HASHED {
        return None;
    }
    // The place that more than half of them lead to, if there is one.
    let (mut to, mut lead) = (BlockId(0), 0u32);
    for item in parts.iter().filter_map(single) {
        match (item.to == to, lead) {
            (true, _) => lead += 1,
            (false, 0) => (to, lead) = (item.to, 1),
            (false, _) => lead -= 1,
        }
    }
    let mut numbers = Vec::with_capacity(parts.len());
    numbers
        .extend(parts.iter().filter_map(single).filter(|item| item.to == to).map(|item| item.first as u32));
    if numbers.len() < HASHED {
        return None;
    }
    let table = Buckets::new(&numbers)?;
    parts.retain(|part| single(part).is_none_or(|item| item.to != to));
    Some(Plan::Table { table, to })
}

/// The plan for parts in the order of their numbers.
fn halves(parts: Vec<Plan>) -> Plan {
    let count = parts.len();
    half(&mut parts.into_iter().peekable(), count)
}

/// The plan for so many of them.
fn half(parts: &mut Peekable<impl Iterator<Item = Plan>>, count: usize) -> Plan {
    if count > FEW {
        let low = Box::new(half(parts, count / 2));
        let at = parts.peek().map_or(0, Plan::first);
        return Plan::Half { at, low, high: Box::new(half(parts, count - count / 2)) };
    }
    let mut parts: Vec<Plan> = parts.take(count).collect();
    // Crowds first, and the others in the order of the program.
    parts.sort_by_key(|part| match part {
        Plan::Range(item) => item.turn + 1,
        _ => 0,
    });
    Plan::Each(parts)
}

/// Numbers in buckets of four: which one a number would be in, a multiplication says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Buckets {
    pub(crate) multiplier: u32,
    /// How far the product is shifted, so that the number of a bucket is left.
    pub(crate) shift: u8,
    /// Places that are left over hold a number again, or one that belongs elsewhere and is not looked for here.
    pub(crate) buckets: Vec<[u32; 4]>,
}

impl Buckets {
    /// Buckets for these numbers, if multipliers are found that spread them well enough.
    fn new(numbers: &[u32]) -> Option<Buckets> {
        let least = numbers.len().div_ceil(2).next_power_of_two().max(2);
        let mut held = Vec::new();
        for count in (0..3).map(|more| least << more) {
            let shift = 32 - count.trailing_zeros() as u8;
            let multipliers = (0..16u32).map(|number| 0x9e37_79b1u32.wrapping_mul(2 * number + 1));
            for multiplier in multipliers {
                held.clear();
                held.resize(count, 0u8);
                let fits = numbers.iter().all(|&number| {
                    let held = &mut held[bucket(number, multiplier, shift)];
                    *held += 1;
                    *held <= 4
                });
                if fits {
                    return Some(Buckets::with(numbers, &mut held, multiplier, shift));
                }
            }
        }
        None
    }

    fn with(numbers: &[u32], held: &mut [u8], multiplier: u32, shift: u8) -> Buckets {
        // The first number fills buckets that hold none, but not its own.
        let mut buckets = vec![[numbers[0]; 4]; held.len()];
        held.fill(0);
        for &number in numbers {
            let at = bucket(number, multiplier, shift);
            match held[at] {
                0 => buckets[at] = [number; 4],
                more => buckets[at][usize::from(more)] = number,
            }
            held[at] += 1;
        }
        Buckets { multiplier, shift, buckets }
    }

    /// Whether it holds a number.
    #[cfg(test)]
    pub(crate) fn contains(&self, number: u32) -> bool {
        self.buckets[bucket(number, self.multiplier, self.shift)].contains(&number)
    }
}

/// Which bucket a number would be in.
fn bucket(number: u32, multiplier: u32, shift: u8) -> usize {
    (number.wrapping_mul(multiplier) >> shift) as usize
}

#[cfg(test)]
mod tests {
    use sandbpf_isa::Reg;

    use super::*;

    /// A switch for these ranges; what is not among them leads to block 0.
    fn switch(ranges: &[(u64, u64, u32)]) -> Switch {
        let item = |(turn, &(first, last, to)): (usize, &(u64, u64, u32))| Item {
            first,
            last,
            to: BlockId(to),
            turn: turn as u32,
        };
        Switch::new(Reg::R0, Width::W32, ranges.iter().enumerate().map(item), BlockId(0))
    }

    #[test]
    fn a_few_numbers_are_looked_at_in_the_order_of_the_program() {
        let mut switch = switch(&[(5, 5, 1), (100, 200, 2), (9000, 9000, 1)]);
        switch.items[0].turn = 7;
        let Plan::Each(parts) = plan(&switch) else { panic!("they are few") };
        let first = |part: &Plan| match part {
            Plan::Range(item) => item.first,
            _ => panic!("none stand close to each other"),
        };
        assert_eq!(parts.iter().map(first).collect::<Vec<_>>(), [100, 9000, 5]);
    }

    #[test]
    fn crowds_become_bits() {
        let ranges: Vec<(u64, u64, u32)> =
            (0..40).map(|n| (100 + 9 * n, 100 + 9 * n + n % 3, 1 + (n % 7 == 6) as u32)).collect();
        let Plan::Each(parts) = plan(&switch(&ranges)) else { panic!("there is one crowd") };
        let [Plan::Bits { first: 100, last: 451, bits, to: BlockId(1), rest }] = &parts[..] else {
            panic!("{parts:?}")
        };
        for number in 100..=451u64 {
            let set = bits[(number - 100) as usize / 64] >> ((number - 100) % 64) & 1 != 0;
            let leads = ranges.iter().any(|&(first, last, to)| to == 1 && (first..=last).contains(&number));
            assert_eq!(set, leads, "{number}");
        }
        // Those that lead elsewhere.
        assert!(matches!(&**rest, Plan::Half { .. }));
    }

    #[test]
    fn many_numbers_become_a_table() {
        let ranges: Vec<(u64, u64, u32)> = (1..=300u64).map(|n| (n * 7_654_321, n * 7_654_321, 1)).collect();
        let Plan::Table { table, to: BlockId(1) } = plan(&switch(&ranges)) else { panic!("they are many") };
        for number in (0..=300 * 7_654_321u32).step_by(7_654_321).flat_map(|n| [n, n + 1]) {
            assert_eq!(table.contains(number), number != 0 && number % 7_654_321 == 0, "{number}");
        }
    }
}
