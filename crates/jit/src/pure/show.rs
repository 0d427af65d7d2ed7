//! Blocks as text, for tests.

use std::fmt::Write as _;

use sandbpf_isa::{Cond, Insn, Operand, Pc, Program, Size, print_insn};

use super::blocks::{Blocks, Check, Edge, End, Flow, Item, Place, Step, Test};

/// Blocks in their order, a line for each step and end.
pub(crate) fn show(blocks: &Blocks) -> String {
    let mut text = String::new();
    for &id in &Flow::of(blocks).order {
        let mut line = |words: String| writeln!(text, "b{}: {words}", id.0).expect("text takes all");
        blocks.steps(id).iter().for_each(|step| line(show_step(step)));
        line(match *blocks.end(id) {
            End::Exit => "exit".into(),
            End::Answer(answer) => format!("answer {answer}"),
            End::Goto(edge) => format!("goto {}", to(edge)),
            End::Branch { test, taken, otherwise } => {
                format!("if {} goto {} else {}", show_test(&test), to(taken), to(otherwise))
            }
            End::Enough { index, bytes, taken, otherwise } => {
                let index = index.map_or(String::new(), |index| format!("{index} + "));
                format!("if len >= {index}{bytes} goto b{} else b{}", taken.0, otherwise.0)
            }
            End::Switch(number) => {
                let switch = &blocks.switches[number as usize];
                let items: Vec<String> = switch.items.iter().map(show_item).collect();
                format!("switch {} {{ {}, else b{} }}", switch.reg, items.join(", "), switch.otherwise.0)
            }
        });
    }
    text
}

fn to(edge: Edge) -> String {
    match edge.cost {
        0 => format!("b{}", edge.to.0),
        cost => format!("b{} for {cost}", edge.to.0),
    }
}

pub(crate) fn show_item(item: &Item) -> String {
    match item.single() {
        true => format!("{} b{}", item.first, item.to.0),
        false => format!("{}-{} b{}", item.first, item.last, item.to.0),
    }
}

fn show_step(step: &Step) -> String {
    match *step {
        Step::Packet { dst, place: Place { size, index, off }, check } => {
            let size = match size {
                Size::B => 'b',
                Size::H => 'h',
                Size::W => 'w',
                Size::DW => 'd',
            };
            let index = index.map_or(String::new(), |index| format!("{index} + "));
            let check = match check {
                Check::Known => String::new(),
                Check::Length(length) => format!(" if len >= {length}"),
                Check::Sum => " if there".into(),
            };
            format!("{dst} = {size}[{index}{off}]{check}")
        }
        Step::Insn(insn) => {
            let program = Program::new(vec![insn, Insn::Exit]).expect("a step is an instruction");
            print_insn(&program, Pc(0)).to_string()
        }
    }
}

fn show_test(test: &Test) -> String {
    let cond = match test.cond {
        Cond::Eq => "==",
        Cond::Ne => "!=",
        Cond::Gt => ">",
        Cond::Ge => ">=",
        Cond::Lt => "<",
        Cond::Le => "<=",
        Cond::Set => "&",
        Cond::Sgt => "s>",
        Cond::Sge => "s>=",
        Cond::Slt => "s<",
        Cond::Sle => "s<=",
    };
    let rhs = match test.rhs {
        Operand::Reg(reg) => reg.to_string(),
        Operand::Imm(imm) => imm.to_string(),
    };
    format!("{} {cond} {rhs}", test.lhs)
}
