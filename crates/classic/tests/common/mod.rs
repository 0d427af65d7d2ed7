//! What the tests share: the corpus, and a small machine that runs lowered programs.
//!
//! The machine knows what lowering uses and nothing more, and takes every value from the packet of the
//! reference. It exists so that these tests judge the lowering without an engine.
#![allow(dead_code, reason = "every test takes what it needs")]

use std::path::PathBuf;

use sandbpf_abi::{SeccompData, SkBuff, helper};
use sandbpf_classic::reference::{self, Packet, Stopped};
use sandbpf_classic::{ClassicInsn, Dialect, Filter, Lowered, lower};
use sandbpf_isa::{Callee, Extend, Insn, Operand, Reg};
use serde_json::Value;

/// The records of a file; none, and a word about it, if the corpus is not there.
pub(crate) fn records(file: &str) -> Vec<Value> {
    let path = corpus().join(file);
    let Ok(text) = std::fs::read_to_string(&path) else {
        println!("SKIPPED: {} is not there", path.display());
        return Vec::new();
    };
    text.lines().map(|line| serde_json::from_str(line).expect("a record is JSON")).collect()
}

pub(crate) fn corpus() -> PathBuf {
    std::env::var_os("SANDBPF_CORPUS").map_or_else(
        || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/corpus"),
        PathBuf::from,
    )
}

/// A number of a record. A missing one is a broken record, not a skipped check.
pub(crate) fn number(value: &Value) -> u64 {
    value.as_u64().unwrap_or_else(|| panic!("a number, not {value}"))
}

/// A program: `[[code, jt, jf, k], …]`, or `{repeat, n, then}`.
pub(crate) fn program(value: &Value) -> Vec<ClassicInsn> {
    let insn = |row: &Value| ClassicInsn {
        code: number(&row[0]) as u16,
        jt: number(&row[1]) as u8,
        jf: number(&row[2]) as u8,
        k: number(&row[3]) as u32,
    };
    let list = |rows: &Value| rows.as_array().expect("instructions").iter().map(insn).collect::<Vec<_>>();
    match value.get("repeat") {
        Some(row) => {
            let mut insns = vec![insn(row); number(&value["n"]) as usize];
            insns.extend(list(&value["then"]));
            insns
        }
        None => list(value),
    }
}

pub(crate) fn bytes(value: &Value) -> Vec<u8> {
    hex::decode(value.as_str().expect("hex")).expect("hex")
}

/// What the reference says, after the lowered program has said the same.
pub(crate) fn verdict(name: &str, filter: &Filter, packet: &Packet<'_>) -> Result<u32, Stopped> {
    let expected = reference::run(filter, packet);
    let lowered = run_lowered(filter, packet);
    match expected {
        Err(Stopped::TooLong) => assert_eq!(lowered, End::TooLong, "{name}: lowered"),
        Err(Stopped::Undefined(_)) => assert_eq!(lowered, End::Undefined, "{name}: lowered"),
        Ok(value) => assert_eq!(lowered, End::Verdict(value), "{name}: lowered"),
    }
    expected
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) enum End {
    Verdict(u32),
    Undefined,
    TooLong,
}

const CONTEXT: u64 = 0x1000_0000;

/// Lowers a filter and runs it.
pub(crate) fn run_lowered(filter: &Filter, packet: &Packet<'_>) -> End {
    run_program(&lower(filter), filter.dialect(), packet)
}

/// Runs what was lowered from a filter of this dialect.
pub(crate) fn run_program(lowered: &Lowered, dialect: Dialect, packet: &Packet<'_>) -> End {
    let context = match dialect {
        Dialect::Seccomp => packet.bytes.to_vec(),
        dialect => {
            let there = packet.bytes.len() - packet.data;
            let len = if dialect == Dialect::Libpcap { packet.wire_len } else { there as u32 };
            SkBuff { len, ..packet.skb }.to_bytes().to_vec()
        }
    };
    assert_eq!(lowered.origin.len(), lowered.program.len(), "every instruction has an origin");
    let mut regs = [0u64; 11];
    regs[1] = CONTEXT;
    let mut frame = [0u32; 16];
    let mut pc = 0;
    for _ in 0..8 * u64::from(reference::STEP_LIMIT) {
        let insn = lowered.program.insns()[pc];
        let value = |operand: Operand, regs: &[u64; 11]| match operand {
            Operand::Reg(reg) => regs[reg.index()],
            Operand::Imm(imm) => imm as i64 as u64,
        };
        pc += 1;
        match insn {
            Insn::Alu { op, width, dst, src } => {
                regs[dst.index()] = op.eval(width, regs[dst.index()], value(src, &regs));
            }
            Insn::Unary { op, dst } => regs[dst.index()] = op.eval(regs[dst.index()]),
            Insn::Load { dst, base: Reg::R10, off, .. } => regs[dst.index()] = frame[word(off)].into(),
            Insn::Store { base: Reg::R10, off, src, .. } => frame[word(off)] = value(src, &regs) as u32,
            Insn::Load { dst, base, off, extend: Extend::Zero, .. } => {
                assert!(lowered.needs_context, "a program that reads its context says so");
                let at = (regs[base.index()] - CONTEXT) as usize + off as usize;
                let word = context[at..at + 4].try_into().expect("four bytes");
                regs[dst.index()] = u32::from_le_bytes(word).into();
            }
            Insn::LoadPacket { size, index, off } => {
                let offset = index.map_or(0, |reg| regs[reg.index()] as u32).wrapping_add(off as u32);
                let loaded = place(packet, offset as i32)
                    .and_then(|at| packet.bytes.get(at..)?.get(..usize::from(size.bytes())));
                let Some(loaded) = loaded else { return End::Verdict(0) };
                regs[0] = loaded.iter().fold(0, |value, &byte| value << 8 | u64::from(byte));
            }
            Insn::Jump { to, .. } => pc = to.index(),
            Insn::Branch { cond, width, lhs, rhs, to } => {
                if cond.eval(width, regs[lhs.index()], value(rhs, &regs)) {
                    pc = to.index();
                }
            }
            Insn::Call { callee: Callee::Helper(id) } => {
                let contextual = [helper::PAYLOAD_OFFSET, helper::NLATTR, helper::NLATTR_NEST].contains(&id);
                assert!(!contextual || regs[1] == CONTEXT, "r1 is the context");
                regs[0] = match id {
                    helper::GET_SMP_PROCESSOR_ID => packet.cpu.into(),
                    helper::GET_PRANDOM_U32 => packet.random.into(),
                    helper::PAYLOAD_OFFSET => packet.payload_offset.into(),
                    helper::NLATTR => attribute(packet, regs[2] as u32, regs[3] as u32, false),
                    helper::NLATTR_NEST => attribute(packet, regs[2] as u32, regs[3] as u32, true),
                    helper::UNDEFINED => return End::Undefined,
                    _ => panic!("no filter calls helper {id}"),
                };
            }
            Insn::Exit => {
                assert_eq!(regs[0] >> 32, 0, "a verdict has 32 bits");
                return End::Verdict(regs[0] as u32);
            }
            _ => panic!("lowering does not make {insn:?}"),
        }
    }
    End::TooLong
}

fn word(off: i16) -> usize {
    assert!(off < 0 && off % 4 == 0, "M[] is below r10");
    (-off / 4 - 1) as usize
}

fn place(packet: &Packet<'_>, offset: i32) -> Option<usize> {
    let (base, from) = match offset {
        0.. => (packet.data, offset),
        -0x10_0000.. => (packet.network, offset + 0x10_0000),
        -0x20_0000.. => (packet.link?, offset + 0x20_0000),
        _ => return None,
    };
    Some(base + from as usize)
}

/// Netlink attributes by the answer of the reference: what is judged here is what reaches the helper.
fn attribute(packet: &Packet<'_>, a: u32, x: u32, nested: bool) -> u64 {
    let k = if nested { 0xffff_f010 } else { 0xffff_f00c };
    let insns = [(0x00, a), (0x01, x), (0x20, k), (0x16, 0)];
    let insns = insns.map(|(code, k)| ClassicInsn { code, jt: 0, jf: 0, k });
    let filter = Filter::check(&insns, Dialect::Linux).expect("a sound filter");
    reference::run(&filter, packet).expect("a verdict").into()
}

/// `struct seccomp_data` of a record.
pub(crate) fn system_call(input: &Value) -> Vec<u8> {
    let args = input["args"].as_array().expect("arguments");
    let mut words = args.iter().map(number);
    SeccompData {
        nr: number(&input["nr"]) as u32 as i32,
        arch: number(&input["arch"]) as u32,
        instruction_pointer: number(&input["ip"]),
        args: std::array::from_fn(|_| words.next().unwrap_or(0)),
    }
    .to_bytes()
    .to_vec()
}
