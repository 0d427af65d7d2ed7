//! Graphs as text, for tests and for looking at them.

use std::fmt;

use sandbpf_isa::{Extend, Width};

use super::graph::{Address, Block, Bulk, Edge, End, Graph, Key, Op, Test, Value};

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "v{}", self.0)
    }
}

impl fmt::Display for Block {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "b{}", self.0)
    }
}

impl fmt::Display for Graph {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for block in self.order() {
            let code = self.code(block);
            write!(f, "{block}(")?;
            list(f, &code.params)?;
            writeln!(f, "):{}", if code.cold { " cold" } else { "" })?;
            for &value in &code.body {
                write!(f, "    ")?;
                if self.op(value).has_value() {
                    write!(f, "{value} = ")?;
                }
                self.operation(f, self.op(value))?;
                writeln!(f)?;
            }
            write!(f, "    ")?;
            match &code.end {
                End::Jump(edge) => self.edge(f, edge)?,
                End::Branch { test, yes, no } => {
                    write!(f, "if ")?;
                    self.test(f, test)?;
                    write!(f, " then ")?;
                    self.edge(f, yes)?;
                    write!(f, " else ")?;
                    self.edge(f, no)?;
                }
                End::Return(value) => write!(f, "return {}", self.shown(*value))?,
                End::Unreachable => write!(f, "unreachable")?,
            }
            writeln!(f)?;
        }
        Ok(())
    }
}

fn list(f: &mut fmt::Formatter<'_>, values: &[Value]) -> fmt::Result {
    for (place, value) in values.iter().enumerate() {
        write!(f, "{}{value}", if place == 0 { "" } else { ", " })?;
    }
    Ok(())
}

fn bits(width: Width) -> u32 {
    match width {
        Width::W32 => 32,
        Width::W64 => 64,
    }
}

impl Graph {
    /// A value as an operand: what is everywhere is shown where it is used.
    fn shown(&self, value: Value) -> String {
        match self.op(value) {
            Op::Const(number) if *number < 4096 => format!("{number}"),
            Op::Const(number) if *number > u64::MAX - 4096 => format!("{}", *number as i64),
            Op::Const(number) => format!("{number:#x}"),
            Op::Entry(entry) => format!("{entry:?}").to_lowercase(),
            Op::Base(region) => format!("{region:?}").to_lowercase(),
            _ => value.to_string(),
        }
    }

    fn edge(&self, f: &mut fmt::Formatter<'_>, edge: &Edge) -> fmt::Result {
        let arguments: Vec<_> = edge.arguments.iter().map(|&value| self.shown(value)).collect();
        write!(f, "{}({})", edge.to, arguments.join(", "))
    }

    fn test(&self, f: &mut fmt::Formatter<'_>, test: &Test) -> fmt::Result {
        let name = format!("{:?}", test.cond).to_lowercase();
        write!(f, "{name}{} {}, {}", bits(test.width), self.shown(test.lhs), self.shown(test.rhs))
    }

    fn address(&self, at: &Address) -> String {
        let mut text = format!("[{}", self.shown(at.base));
        if let Some((index, scale)) = at.index {
            text += &format!(" + {}", self.shown(index));
            if scale > 0 {
                text += &format!("*{}", 1 << scale);
            }
        }
        if at.disp != 0 {
            let sign = if at.disp < 0 { '-' } else { '+' };
            text += &format!(" {sign} {:#x}", at.disp.unsigned_abs());
        }
        let base = matches!(self.op(at.base), Op::Base(_));
        match at.region {
            Some(region) if !base => text + &format!("] {}", format!("{region:?}").to_lowercase()),
            Some(_) => text + "]",
            None => text + "] anywhere",
        }
    }

    fn operation(&self, f: &mut fmt::Formatter<'_>, op: &Op) -> fmt::Result {
        let swapped = |swap: bool| if swap { " swapped" } else { "" };
        match op {
            Op::Gone | Op::Const(_) | Op::Param(_) | Op::Entry(_) | Op::Base(_) => write!(f, "{op:?}"),
            Op::Bin { op, width, a, b } => {
                let name = format!("{op:?}").to_lowercase();
                write!(f, "{name}{} {}, {}", bits(*width), self.shown(*a), self.shown(*b))
            }
            Op::Un { op, a } => write!(f, "{} {}", format!("{op:?}").to_lowercase(), self.shown(*a)),
            Op::Compare(test) => {
                write!(f, "compare ")?;
                self.test(f, test)
            }
            Op::Select { test, yes, no } => {
                write!(f, "select ")?;
                self.test(f, test)?;
                write!(f, " ? {} : {}", self.shown(*yes), self.shown(*no))
            }
            Op::Load { at, size, extend, swap } => {
                let sign = if *extend == Extend::Sign { 's' } else { 'u' };
                let (bits, at) = (size.bytes() * 8, self.address(at));
                write!(f, "load {sign}{bits}{} {at}", swapped(*swap))
            }
            Op::Store { at, size, value, swap } => {
                let (bits, at) = (size.bytes() * 8, self.address(at));
                write!(f, "store {bits}{} {at}, {}", swapped(*swap), self.shown(*value))
            }
            Op::Host { at, off, size, likely, stack, site } => {
                let (likely, at) = (format!("{likely:?}").to_lowercase(), self.shown(*at));
                write!(f, "host {size} at {at} + {off}, likely {likely}, stack {stack}, site {}", site.0)
            }
            Op::Clear { from, bytes } => write!(f, "clear {bytes} at {from:#x}"),
            Op::Budget => write!(f, "budget"),
            Op::Charge { cost, site } => write!(f, "charge {cost}, site {}", site.0),
            Op::Spend { amount } => write!(f, "spend {}", self.shown(*amount)),
            Op::Call { arguments, site } => {
                let arguments: Vec<_> = arguments.iter().map(|&value| self.shown(value)).collect();
                write!(f, "call({}), site {}", arguments.join(", "), site.0)
            }
            Op::Plain { arguments, .. } => {
                let arguments: Vec<_> = arguments.iter().map(|&value| self.shown(value)).collect();
                write!(f, "plain({})", arguments.join(", "))
            }
            Op::Atomic { op, size, at, value, expected } => {
                let (bits, at) = (size.bytes() * 8, self.address(at));
                write!(f, "{} {bits} {at}, {}, if {}", op.symbol(), self.shown(*value), self.shown(*expected))
            }
            Op::Lookup { map, key: Key::At(at), .. } => write!(f, "look up {} in {map}", self.address(at)),
            Op::Lookup { map, key: Key::Words([low, high]), .. } => {
                write!(f, "look up {}, {} in {map}", self.shown(*low), self.shown(*high))
            }
            Op::Bulk { what, count } => {
                let count = self.shown(*count);
                match what {
                    Bulk::Copy { to, from, element } => {
                        let (to, from) = (self.address(to), self.address(from));
                        write!(f, "copy {count} to {to} from {from} by {}", element.bytes())
                    }
                    Bulk::Combine { op, to, from, element } => {
                        let (to, from) = (self.address(to), self.address(from));
                        let op = format!("{op:?}").to_lowercase();
                        write!(f, "{op} {count} to {to} from {from} by {}", element.bytes())
                    }
                    Bulk::Apply { op, to, from, key, element } => {
                        let (to, from, key) = (self.address(to), self.address(from), self.shown(*key));
                        let op = format!("{op:?}").to_lowercase();
                        write!(f, "{op} {count} to {to} from {from} with {key} by {}", element.bytes())
                    }
                    Bulk::Fill { to, value, element } => {
                        let (to, value) = (self.address(to), self.shown(*value));
                        write!(f, "fill {count} at {to} with {value} by {}", element.bytes())
                    }
                    Bulk::Sum { from, element, swap } => {
                        let from = self.address(from);
                        write!(f, "sum{} {count} from {from} by {}", swapped(*swap), element.bytes())
                    }
                    Bulk::Ramp { from } => write!(f, "ramp {count} from {}", self.address(from)),
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::graph::Region;

    #[test]
    fn regions_have_names() {
        let mut graph = Graph::new(0x3000_0000, 512, 0);
        let base = graph.add(Op::Base(Region::Packet));
        assert_eq!(graph.shown(base), "packet");
    }
}
