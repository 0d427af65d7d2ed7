//! A whole text: lines, labels, and targets once every label is known.

use alloc::{collections::BTreeMap, format, vec::Vec};

use super::{
    comments,
    cursor::Cursor,
    error::{Place, TextError},
    lex::Token,
    line::line,
    statement::{Statement, Target, To, statement},
};
use crate::{Pc, Program, ProgramErrorKind};

/// Reads a program: the inverse of [`print`](crate::print), and what llvm-objdump, bpftool and the
/// kernel's log write.
///
/// One instruction a line. Comments start with `;`, `//` or `#`, or stand between `/*` and `*/`. A
/// jump goes to a label, or a number of slots on with `+3`, `-1` or `pc+3`; a label may be further
/// away than the encoding reaches, which [`Program::fits`] tells. Numbers are decimal or
/// hexadecimal, and in 32 bits signed or unsigned: `0xffffffff` is -1. Leading columns are
/// understood: `12:`, `(b7)`, the bytes of `llvm-objdump -d`, `0000000000000060 <name>:`. Where
/// instructions are numbered the numbers must be consecutive slots, so that a verifier's log that
/// walked in circles is refused rather than taken for a longer program; a log with the table `Live
/// regs before insn:` is read from that table, which has every instruction once.
///
/// `call 7` and `call name#7` call helper 7; a call to a function of the program is `call label` or
/// `call pc+2`, and a kernel function is `call kfunc#1234`, with `@2` behind it for module 2.
/// llvm-objdump writes a local call as `call 2`, so give it bytes to go by, not
/// `--no-show-raw-insn`.
///
/// ```
/// let disassembly = "
/// 0000000000000000 <main>:
///        0: 18 01 00 00 88 77 66 55 00 00 00 00 44 33 22 11 r1 = 0x1122334455667788 ll
///        2: 85 10 00 00 01 00 00 00 call 0x1 <twice>
///        3: 95 00 00 00 00 00 00 00 exit
/// 0000000000000020 <twice>:
///        4: bf 10 00 00 00 00 00 00 r0 = r1
///        5: 0f 10 00 00 00 00 00 00 r0 += r1
///        6: 95 00 00 00 00 00 00 00 exit
/// ";
/// let program = sandbpf_isa::parse(disassembly)?;
/// assert_eq!(program.functions().len(), 2);
/// assert_eq!(program.slot_count(), 7);
///
/// let error = sandbpf_isa::parse("r0 = *(u32 *)(r1 + 70000)").unwrap_err();
/// let expected = "line 1, column 18: expected an offset from -32768 to 32767, found `+ 70000`";
/// assert_eq!(error.to_string(), expected);
/// # Ok::<(), sandbpf_isa::TextError>(())
/// ```
pub fn parse(text: &str) -> Result<Program, TextError> {
    let blanked = comments::blank(text)?;
    let mut assembly = Assembly::default();
    for (index, (original, text)) in text.lines().zip(blanked.lines()).enumerate() {
        if comments::is_section(original) {
            assembly.first_number = None;
        }
        if comments::is_live_heading(original) {
            assembly = Assembly { only_live: true, ..Assembly::default() };
        } else if !comments::is_furniture(original) {
            assembly.line(index + 1, text)?;
        }
    }
    assembly.program()
}

#[derive(Default)]
struct Assembly<'a> {
    statements: Vec<(Statement<'a>, Place<'a>)>,
    labels: BTreeMap<&'a str, Pc>,
    /// The slot of every statement.
    slots: Vec<u32>,
    /// Slots so far.
    slot: u32,
    /// What numbered lines start from, less the slot it belongs to.
    first_number: Option<i128>,
    /// Whether to read the table of live registers and nothing else.
    only_live: bool,
}

impl<'a> Assembly<'a> {
    fn line(&mut self, number: usize, text: &'a str) -> Result<(), TextError> {
        let mut columns = line(number, text, 0)?;
        if self.only_live && !columns.live {
            return Ok(());
        }
        let (slot, hint) = (columns.slot, columns.hint);
        while let Some(label) = columns.label {
            self.label(label)?;
            columns = line(number, text, columns.rest)?;
        }
        let mut cursor = Cursor::new(number, text, columns.rest)?;
        if cursor.peek() == Token::End {
            return Ok(());
        }
        if let Some((slot, place)) = slot {
            self.number(slot, place)?;
        }
        let place = cursor.place();
        let statement = statement(&mut cursor, hint)?;
        // No text in memory has 2³¹ instructions.
        self.slots.push(self.slot);
        self.slot = self.slot.saturating_add(statement.insn.slots());
        self.statements.push((statement, place));
        Ok(())
    }

    fn label(&mut self, place: Place<'a>) -> Result<(), TextError> {
        let name = &place.text[place.offset..place.offset + place.len];
        match self.labels.insert(name, Pc(self.statements.len() as u32)) {
            None => Ok(()),
            Some(_) => Err(place.expected("a label that is not defined twice")),
        }
    }

    fn number(&mut self, slot: u64, place: Place<'a>) -> Result<(), TextError> {
        let here = i128::from(self.slot);
        let first = *self.first_number.get_or_insert(i128::from(slot) - here);
        if i128::from(slot) != first + here {
            return Err(place.expected(format!("{}, the next instruction's number", first + here)));
        }
        Ok(())
    }

    fn program(mut self) -> Result<Program, TextError> {
        for index in 0..self.statements.len() {
            if let Some(target) = self.statements[index].0.target.take() {
                let pc = self.pc(index, &target)?;
                self.statements[index].0.resolve(pc);
            }
        }
        let places: Vec<Place<'a>> = self.statements.iter().map(|&(_, place)| place).collect();
        let insns: Vec<_> = self.statements.into_iter().map(|(statement, _)| statement.insn).collect();
        Program::new(insns).map_err(|error| {
            let nowhere = Place { line: 1, text: "", offset: 0, len: 0 };
            let place = places.get(error.pc().index()).copied().unwrap_or(nowhere);
            place.expected(match error.kind() {
                ProgramErrorKind::Empty => "at least one instruction",
                ProgramErrorKind::TooLong => "at most 16777216 instructions",
                ProgramErrorKind::TargetOutside { .. } => "a target inside the program",
                ProgramErrorKind::NoSuchForm => "an operation that exists with this width, size and operand",
            })
        })
    }

    fn pc(&self, index: usize, target: &Target<'a>) -> Result<Pc, TextError> {
        match target.to {
            To::Label(name) => match self.labels.get(name) {
                Some(&pc) if pc.index() < self.statements.len() => Ok(pc),
                Some(_) => Err(target.place.expected("a label with an instruction after it")),
                None => Err(target.place.expected("a label of this text")),
            },
            To::Slots(distance) => {
                // From the slot after the first, even where the instruction has two.
                let to = i64::from(self.slots[index]) + 1 + distance;
                let found = u32::try_from(to).ok().and_then(|to| self.slots.binary_search(&to).ok());
                found.map(|pc| Pc(pc as u32)).ok_or_else(|| {
                    target
                        .place
                        .expected(format!("a distance to one of slots 0 to {}", self.slot.saturating_sub(1)))
                })
            }
        }
    }
}
