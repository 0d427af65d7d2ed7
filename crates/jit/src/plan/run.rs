//! Runs a graph, operation by operation: the judge of passes and of machine code. For tests.

use sandbpf_isa::Size;
use sandbpf_runtime::address::STACK;
use sandbpf_runtime::maps::SharedBytes;

use super::graph::{Address, Block, Bulk, Edge, End, Entry, Graph, Key, Lane, Op, Region, Site, Value};
use crate::Maps;

/// The memory of a run, and what is left of its budget.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct World {
    pub(crate) stack: Vec<u8>,
    pub(crate) context: Vec<u8>,
    pub(crate) packet: Vec<u8>,
    pub(crate) budget: u64,
}

/// How a run ended other than with a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Trapped {
    pub(crate) site: Site,
    /// The guest's address of an access, or 0.
    pub(crate) address: u64,
}

/// Where regions lie on a host of our own.
fn base(region: Region) -> u64 {
    match region {
        Region::Stack => 1 << 40,
        Region::Context => 2 << 40,
        Region::Packet => 3 << 40,
        Region::Far(_) => panic!("far memory is none of ours"),
    }
}

impl World {
    fn bytes(&mut self, address: u64, size: usize) -> &mut [u8] {
        let memory = match address >> 40 {
            1 => &mut self.stack,
            2 => &mut self.context,
            3 => &mut self.packet,
            _ => panic!("no region at {address:#x}"),
        };
        let start = (address & ((1 << 40) - 1)) as usize;
        assert!(start + size <= memory.len(), "{size} bytes at {address:#x} without a check");
        &mut memory[start..start + size]
    }

    fn load(&mut self, address: u64, size: Size, swap: bool) -> u64 {
        let mut bytes = [0; 8];
        let size = usize::from(size.bytes());
        bytes[..size].copy_from_slice(self.bytes(address, size));
        if swap {
            bytes[..size].reverse();
        }
        u64::from_le_bytes(bytes)
    }

    fn store(&mut self, address: u64, size: Size, swap: bool, value: u64) {
        let mut bytes = value.to_le_bytes();
        let size = usize::from(size.bytes());
        if swap {
            bytes[..size].reverse();
        }
        self.bytes(address, size).copy_from_slice(&bytes[..size]);
    }
}

/// A number of so many bytes, reversed if `swap` says so.
fn swapped(number: u64, size: Size, swap: bool) -> u64 {
    if swap { number.swap_bytes() >> (64 - 8 * u32::from(size.bytes())) } else { number }
}

struct Run<'r> {
    graph: &'r Graph,
    values: Vec<Option<u64>>,
    world: &'r mut World,
}

/// Runs the graph; calls of helpers are answered by `call`.
pub(crate) fn run(
    graph: &Graph,
    world: &mut World,
    mut call: impl FnMut(Site, [u64; 5], &mut World) -> u64,
) -> Result<u64, Trapped> {
    let mut run = Run { graph, values: vec![None; graph.values.len()], world };
    let mut block = Block::ENTRY;
    for _ in 0..10_000_000 {
        for &value in &graph.code(block).body {
            let result = run.step(value, &mut call)?;
            run.values[value.index()] = result;
        }
        match &graph.code(block).end {
            End::Jump(edge) => block = run.follow(edge),
            End::Branch { test, yes, no } => {
                let edge = if test.eval(run.get(test.lhs), run.get(test.rhs)) { yes } else { no };
                block = run.follow(edge);
            }
            End::Return(value) => return Ok(run.get(*value)),
            End::Unreachable => panic!("{block} was reached"),
        }
    }
    panic!("the graph does not end");
}

impl Run<'_> {
    fn get(&self, value: Value) -> u64 {
        match self.graph.op(value) {
            Op::Const(number) => *number,
            Op::Entry(Entry::Length) => self.world.packet.len() as u64,
            Op::Entry(Entry::Cpu) => 0,
            Op::Base(Region::Far(number)) => self.graph.far[usize::from(*number)],
            Op::Base(region) => base(*region),
            op => self.values[value.index()].unwrap_or_else(|| panic!("{value} ({op:?}) was not computed")),
        }
    }

    fn follow(&mut self, edge: &Edge) -> Block {
        let given: Vec<u64> = edge.arguments.iter().map(|&value| self.get(value)).collect();
        for (&param, value) in self.graph.code(edge.to).params.iter().zip(given) {
            self.values[param.index()] = Some(value);
        }
        edge.to
    }

    fn address(&self, at: &Address) -> u64 {
        let index = at.index.map_or(0, |(index, scale)| self.get(index) << scale);
        self.get(at.base).wrapping_add(index).wrapping_add(at.disp as u64)
    }

    fn step(
        &mut self,
        value: Value,
        call: &mut impl FnMut(Site, [u64; 5], &mut World) -> u64,
    ) -> Result<Option<u64>, Trapped> {
        Ok(Some(match self.graph.op(value).clone() {
            Op::Gone | Op::Const(_) | Op::Param(_) | Op::Entry(_) | Op::Base(_) => {
                panic!("{value} stands in a block")
            }
            Op::Bin { op, width, a, b } => op.eval(width, self.get(a), self.get(b)),
            Op::Un { op, a } => op.eval(self.get(a)),
            Op::Compare(test) => test.eval(self.get(test.lhs), self.get(test.rhs)).into(),
            Op::Select { test, yes, no } => {
                let so = test.eval(self.get(test.lhs), self.get(test.rhs));
                self.get(if so { yes } else { no })
            }
            Op::Load { at, size, extend, swap } => {
                let address = self.address(&at);
                let loaded = match self.far(address) {
                    Some((bytes, at)) => {
                        swapped(bytes.load(at, size.bytes().into()).expect("a value"), size, swap)
                    }
                    None => self.world.load(address, size, swap),
                };
                extend.apply(size, loaded)
            }
            Op::Store { at, size, value, swap } => {
                let (address, value) = (self.address(&at), self.get(value));
                match self.far(address) {
                    Some((bytes, at)) => {
                        let value = swapped(size.truncate(value), size, swap);
                        bytes.store(at, size.bytes().into(), value).expect("a value");
                    }
                    None => self.world.store(address, size, swap, value),
                }
                return Ok(None);
            }
            Op::Host { at, off, size, likely: _, stack, site } => {
                let address = self.get(at).wrapping_add(off as u64);
                let found = [Region::Stack, Region::Context, Region::Packet].into_iter().find_map(|region| {
                    let bytes = match region {
                        Region::Stack => self.world.stack.len().min(stack as usize),
                        Region::Context => self.world.context.len(),
                        Region::Packet | Region::Far(_) => self.world.packet.len(),
                    };
                    let from = address.wrapping_sub(self.graph.start(region));
                    let fits = from.checked_add(size.into()).is_some_and(|end| end <= bytes as u64);
                    fits.then(|| base(region) + from)
                });
                found.ok_or(Trapped { site, address })?
            }
            Op::Clear { from, bytes } => {
                self.world.bytes(base(Region::Stack) + (from - STACK), bytes as usize).fill(0);
                return Ok(None);
            }
            Op::Budget => self.world.budget,
            Op::Charge { cost, site } => {
                let left = self.world.budget.checked_sub(cost.into());
                self.world.budget = left.ok_or(Trapped { site, address: 0 })?;
                return Ok(None);
            }
            Op::Spend { amount } => {
                let left = self.world.budget.checked_sub(self.get(amount));
                self.world.budget = left.expect("it was found to be there");
                return Ok(None);
            }
            Op::Call { arguments, site } => call(site, arguments.map(|value| self.get(value)), self.world),
            Op::Plain { function, arguments } => {
                let [a, b, c, d, e] = arguments.map(|value| self.get(value));
                function(a, b, c, d, e)
            }
            Op::Atomic { .. } => panic!("no graph of tests has one"),
            Op::Lookup { map, key, .. } => self.look_up(map, &key),
            Op::Bulk { what, count } => return Ok(self.bulk(&what, self.get(count))),
        }))
    }

    /// The bytes of a value of a map, from this address of the host's on.
    fn far(&self, address: u64) -> Option<(&SharedBytes, usize)> {
        self.graph.maps.iter().flat_map(Maps::all).find_map(|known| {
            let off = address.wrapping_sub(known.flat?.start);
            let (bytes, at, _) = known.map.bytes(off)?;
            Some((bytes, at))
        })
    }

    fn look_up(&mut self, map: u16, key: &Key) -> u64 {
        let maps = self.graph.maps.clone().expect("it looks something up");
        let (known, flat) = (maps.get(map.into()), maps.get(map.into()).flat.expect("it is near"));
        let size = known.key_size() as usize;
        let mut bytes: Vec<u8> = match key {
            Key::At(at) => {
                let address = self.address(at);
                self.world.bytes(address, size).to_vec()
            }
            Key::Words(words) => words.iter().flat_map(|&word| self.get(word).to_le_bytes()).collect(),
        };
        bytes.truncate(size);
        known.map.lookup(&bytes, 0).map_or(0, |place| flat.start + place)
    }

    fn bulk(&mut self, what: &Bulk, count: u64) -> Option<u64> {
        let (to, from) = (what.to().map(|to| self.address(&to)), what.from().map(|from| self.address(&from)));
        let (to, from) = (to.unwrap_or_default(), from.unwrap_or_default());
        let element = what.element();
        assert_eq!(count % u64::from(element.bytes()), 0, "whole elements");
        let (mut sum, mut ramp) = (0u64, 0u64);
        for at in (0..count).step_by(element.bytes().into()) {
            let mut load = |start: u64, swap| self.world.load(start + at, element, swap);
            let value = match *what {
                Bulk::Copy { .. } => load(from, false),
                Bulk::Combine { op, .. } => op.eval(load(to, false), load(from, false)),
                Bulk::Apply { op, key, .. } => {
                    let loaded = load(from, false);
                    op.eval(loaded, self.get(key))
                }
                Bulk::Fill { value, .. } => self.get(value),
                Bulk::Sum { swap, .. } => {
                    sum = sum.wrapping_add(load(from, swap));
                    continue;
                }
                Bulk::Ramp { .. } => {
                    sum = sum.wrapping_add(load(from, false));
                    ramp = ramp.wrapping_add(sum);
                    continue;
                }
            };
            self.world.store(to + at, element, false, value);
        }
        match what {
            Bulk::Sum { .. } => Some(sum),
            Bulk::Ramp { .. } => Some(ramp),
            _ => None,
        }
    }
}

impl Bulk {
    /// The size of an element.
    pub(crate) fn element(&self) -> Size {
        match *self {
            Bulk::Copy { element, .. } | Bulk::Combine { element, .. } | Bulk::Apply { element, .. } => {
                element
            }
            Bulk::Fill { element, .. } | Bulk::Sum { element, .. } => element,
            Bulk::Ramp { .. } => Size::B,
        }
    }
}

impl Lane {
    /// Every operation.
    pub(crate) const ALL: &'static [Lane] = &[Lane::Xor, Lane::And, Lane::Or, Lane::Add];

    /// The result; what is above an element's bits is to be ignored.
    pub(crate) fn eval(self, a: u64, b: u64) -> u64 {
        match self {
            Lane::Xor => a ^ b,
            Lane::And => a & b,
            Lane::Or => a | b,
            Lane::Add => a.wrapping_add(b),
        }
    }
}
