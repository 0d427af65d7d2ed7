//! One bad slot for every way to be wrong, with the sentence that says so.

use sandbpf_isa::{DecodeErrorKind, Insn, MAX_INSNS, ProgramErrorKind, Reserved, decode, decode_with};

/// A slot: opcode, source and destination in one byte, offset, immediate.
fn slot(opcode: u8, regs: u8, off: i16, imm: i32) -> Vec<u8> {
    [&[opcode, regs][..], &off.to_le_bytes(), &imm.to_le_bytes()].concat()
}

const EXIT: [u8; 8] = [0x95, 0, 0, 0, 0, 0, 0, 0];

/// The message for `slots`, followed by `exit`.
fn message(slots: &[Vec<u8>]) -> String {
    decode(&[slots.concat().as_slice(), &EXIT].concat()).expect_err("no program").to_string()
}

#[test]
fn every_error_says_where_and_what() {
    let rows: &[(&str, Vec<Vec<u8>>)] = &[
        ("at slot 0: unknown opcode 0x00", vec![slot(0, 0, 0, 0)]),
        ("at slot 1: unknown opcode 0xff", vec![slot(0xb7, 0, 0, 0), slot(0xff, 0, 0, 0)]),
        ("at slot 0: the destination register is r11; the last one is r10", vec![slot(0xb7, 0x0b, 0, 0)]),
        ("at slot 0: the source register is r15; the last one is r10", vec![slot(0xbf, 0xf0, 0, 0)]),
        (
            "at slot 0: opcode 0xbf uses a reserved field: immediate is -1, expected 0",
            vec![slot(0xbf, 0, 0, -1)],
        ),
        ("at slot 0: opcode 0x07 uses a reserved field: offset is 1, expected 0", vec![slot(0x07, 0, 1, 0)]),
        (
            "at slot 0: opcode 0x87 uses a reserved field: source register is 3, expected 0",
            vec![slot(0x87, 0x30, 0, 0)],
        ),
        (
            "at slot 0: opcode 0x05 uses a reserved field: destination register is 2, expected 0",
            vec![slot(0x05, 0x02, 0, 0)],
        ),
        ("at slot 0: opcode 0xdc has no variant with immediate 8", vec![slot(0xdc, 0, 0, 8)]),
        ("at slot 0: opcode 0xb7 has no variant with offset 8", vec![slot(0xb7, 0, 8, 0)]),
        ("at slot 0: opcode 0x85 has no variant with source register 3", vec![slot(0x85, 0x30, 0, 0)]),
        ("at slot 0: there is no atomic operation 0xe1 on 2 bytes", vec![slot(0xcb, 0x10, 0, 0xe1)]),
        (
            "at slot 0: a 64-bit immediate needs a second slot that is zero but for its immediate",
            vec![slot(0x18, 0, 0, 0)],
        ),
        ("at slot 0: jump to slot 2, outside the program", vec![slot(0x05, 0, 1, 0)]),
        ("at slot 0: jump to slot -1, outside the program", vec![slot(0x05, 0, -2, 0)]),
        ("at slot 0: jump to slot 2147483648, outside the program", vec![slot(0x06, 0, 0, i32::MAX)]),
        (
            "at slot 2: jump to slot 1, the middle of a 64-bit immediate",
            vec![slot(0x18, 0, 0, 0), slot(0, 0, 0, 0), slot(0x05, 0, -2, 0)],
        ),
    ];
    for (expected, slots) in rows {
        assert_eq!(&message(slots), expected);
    }
}

#[test]
fn a_program_has_whole_slots_and_at_least_one() {
    assert_eq!(decode(&EXIT[..5]).unwrap_err().to_string(), "at slot 0: 5 bytes left; an instruction has 8");
    assert_eq!(decode(&[&EXIT[..], &[1]].concat()).unwrap_err().slot(), 1);
    assert_eq!(decode(&[]).unwrap_err().to_string(), "at slot 0: a program needs at least one instruction");
}

#[test]
fn a_64_bit_immediate_at_the_end_lacks_its_second_half() {
    let error = decode(&slot(0x18, 0, 0, 0)).unwrap_err();
    assert_eq!(error.kind(), &DecodeErrorKind::WideImmediate);
}

#[test]
fn a_program_has_an_end() {
    // Refused by its length alone: these zeros are never looked at.
    let error = decode(&vec![0; 8 * (2 * MAX_INSNS + 1)]).unwrap_err();
    assert_eq!(error.kind(), &DecodeErrorKind::Program(ProgramErrorKind::TooLong));
    assert!(error.to_string().ends_with(": a program has at most 16777216 instructions"));
}

#[test]
fn an_interpreter_ignores_what_is_not_used() {
    let unused = [
        slot(0xb7, 0xf0, 7, 1),  // r0 = 1, source and offset
        slot(0xb7, 0x00, 8, 1),  // r0 = 1, an offset that selects nothing for a number
        slot(0xbf, 0x10, 1, 0),  // r0 = r1, an offset that selects a cast, but none
        slot(0xbc, 0x10, 32, 0), // w0 = w1, an offset that selects nothing on 32 bits
        slot(0x87, 0xf0, 7, 1),  // r0 = -r0, all
        slot(0x05, 0xff, 0, 1),  // goto +0, registers and immediate
        slot(0x95, 0xff, 7, 1),  // exit, all
        slot(0x85, 0x0f, 7, 1),  // call 1, destination and offset
        slot(0x8d, 0xf1, 7, 1),  // callx r1, all but that
        slot(0x20, 0xff, 7, 1),  // packet load, registers and offset
        slot(0x79, 0x10, 0, 1),  // load, immediate
        slot(0x7a, 0xf1, 0, 1),  // store of an immediate, source
        slot(0x7b, 0x01, 0, 1),  // store of a register, immediate
        slot(0x1d, 0x01, 0, 1),  // branch on a register, immediate
        slot(0xdc, 0xf0, 7, 16), // be16, source and offset
    ];
    for mut bytes in unused {
        bytes.extend(EXIT);
        assert!(decode(&bytes).is_err(), "{bytes:x?}");
        assert!(decode_with(&bytes, Reserved::Rfc9669).is_err(), "{bytes:x?}");
        let program =
            decode_with(&bytes, Reserved::Ignored).unwrap_or_else(|error| panic!("{error}: {bytes:x?}"));
        assert_ne!(program.to_bytes(), bytes);
        assert_eq!(decode_with(&program.to_bytes(), Reserved::Rfc9669).as_ref(), Ok(&program));
    }
    // What is used must exist all the same.
    assert!(decode_with(&slot(0xbf, 0xf0, 0, 0), Reserved::Ignored).is_err());
    assert!(decode_with(&slot(0x40, 0xf0, 0, 0), Reserved::Ignored).is_err());
}

#[test]
fn an_interpreter_ignores_the_second_slot_of_an_immediate_but_for_its_number() {
    let bytes = [slot(0x18, 0x10, 7, 3), slot(0, 0xff, 7, 9), EXIT.to_vec()].concat();
    let program = decode_with(&bytes, Reserved::Ignored).expect("decodes");
    assert_eq!(program.to_string(), "    r0 = map[fd:3]\n    exit\n");
    let bytes = [slot(0x18, 0x00, 0, 3), slot(0xb7, 0, 0, 0), EXIT.to_vec()].concat();
    assert_eq!(decode_with(&bytes, Reserved::Ignored).unwrap_err().kind(), &DecodeErrorKind::WideImmediate);
}

#[test]
fn the_offset_of_exit_is_nothing_to_linux() {
    let bytes = slot(0x95, 0, 5, 0);
    assert_eq!(decode(&bytes).expect("Linux").insns(), [Insn::Exit]);
    let error = decode_with(&bytes, Reserved::Rfc9669).unwrap_err().to_string();
    assert_eq!(error, "at slot 0: opcode 0x95 uses a reserved field: offset is 5, expected 0");
}
