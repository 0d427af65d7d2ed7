//! Loads and stores.
//!
//! An access within the frame goes through the stack's host address, one that is proved to lie in a region through that
//! region's. Where a program does nothing else with its frame pointer, its register holds the host's address of the frame all
//! along. Any other access calls a stub that finds the
//! region, checks, and puts the host address into r9; if it cannot, its return address tells which instruction
//! failed.
//!
//! ```text
//! lea  r9, [base + off]        check: mov  r10, r9
//! call check                          shr  r10, 28            which region?
//! mov  dst, [r9]                      cmp  r10, 8
//!                                     jae  far
//!                                     shl  r10d, 4
//!                                     mov  r11d, r9d
//!                                     and  r11d, 0x0fffffff   where in it?
//!                                     add  r11d, size
//!                                     cmp  r11d, [r12 + r10 + readable]
//!                                     ja   far
//!                                     and  r9d, 0x0fffffff
//!                                     add  r9, [r12 + r10 + start]
//!                                     ret
//! ```

use core::mem::{offset_of, size_of};

use dynasmrt::{DynasmApi, DynasmLabelApi, dynasm};
use sandbpf_isa::{Extend, Operand, Reg, Size};
use sandbpf_runtime::address::{REGION_BITS, REGION_SIZE, STACK};
use sandbpf_runtime::memory::view::{REGIONS, RegionView};

use super::{Emitter, field};
use crate::callbacks::{self, STACK_REGION};
use crate::compile::in_frame;
use crate::layout::{State, status};
use crate::proved::Region;

/// What an access does.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Access {
    Read,
    Write,
}

/// Where an access is.
#[derive(Clone, Copy)]
enum Place {
    /// So many bytes from where `r9` points.
    Found(i32),
    /// So many bytes from the end of the frame, to which `rbp` points.
    Frame(i32),
}

/// `op before, size [place], after`, with a displacement as short as it can be.
macro_rules! access {
    ($e:ident, $place:expr, $op:tt [$($before:tt)*] $size:tt [$($after:tt)*]) => {
        match $place {
            Place::Found(disp) => match i8::try_from(disp) {
                Ok(disp) => dynasm!($e.asm ; .arch x64 ; $op $($before)* $size [BYTE r9 + disp] $($after)*),
                Err(_) => dynasm!($e.asm ; .arch x64 ; $op $($before)* $size [DWORD r9 + disp] $($after)*),
            },
            Place::Frame(disp) => match i8::try_from(disp) {
                Ok(disp) => dynasm!($e.asm ; .arch x64 ; $op $($before)* $size [BYTE rbp + disp] $($after)*),
                Err(_) => dynasm!($e.asm ; .arch x64 ; $op $($before)* $size [DWORD rbp + disp] $($after)*),
            },
        }
    };
}

/// `dst = extend(*(size *)(base + off))`
pub(crate) fn load(e: &mut Emitter<'_>, size: Size, extend: Extend, dst: Reg, base: Reg, off: i16) {
    let place = place(e, Access::Read, size, base, off);
    let dst = e.host(dst);
    match (size, extend) {
        (Size::B, Extend::Zero) => access!(e, place, movzx [Rd(dst),] BYTE []),
        (Size::H, Extend::Zero) => access!(e, place, movzx [Rd(dst),] WORD []),
        (Size::W, Extend::Zero) => access!(e, place, mov [Rd(dst),] DWORD []),
        (Size::B, Extend::Sign) => access!(e, place, movsx [Rq(dst),] BYTE []),
        (Size::H, Extend::Sign) => access!(e, place, movsx [Rq(dst),] WORD []),
        (Size::W, Extend::Sign) => access!(e, place, movsxd [Rq(dst),] DWORD []),
        (Size::DW, _) => access!(e, place, mov [Rq(dst),] QWORD []),
    }
}

/// `*(size *)(base + off) = src`
pub(crate) fn store(e: &mut Emitter<'_>, size: Size, base: Reg, off: i16, src: Operand) {
    let place = place(e, Access::Write, size, base, off);
    match src {
        Operand::Reg(src) => {
            let src = e.host(src);
            match size {
                Size::B => access!(e, place, mov [] BYTE [, Rb(src)]),
                Size::H => access!(e, place, mov [] WORD [, Rw(src)]),
                Size::W => access!(e, place, mov [] DWORD [, Rd(src)]),
                Size::DW => access!(e, place, mov [] QWORD [, Rq(src)]),
            }
        }
        Operand::Imm(imm) => match size {
            Size::B => access!(e, place, mov [] BYTE [, imm as i8]),
            Size::H => access!(e, place, mov [] WORD [, imm as i16]),
            Size::W => access!(e, place, mov [] DWORD [, imm]),
            Size::DW => access!(e, place, mov [] QWORD [, imm]),
        },
    }
}

/// Where the bytes at `base + off` are.
fn place(e: &mut Emitter<'_>, access: Access, size: Size, base: Reg, off: i16) -> Place {
    match e.holds_frame && base == Reg::R10 {
        // Nothing else is done with it, or it would not be there.
        true => Place::Frame(off.into()),
        false => Place::Found(locate(e, access, size, base, off)),
    }
}

/// Makes `[r9 + disp]` the bytes at `base + off`, and gives `disp`. Leaves the program's registers alone.
pub(crate) fn locate(e: &mut Emitter<'_>, access: Access, size: Size, base: Reg, off: i16) -> i32 {
    match e.region {
        _ if in_frame(e.program, base, off, size.bytes()) => direct(e, base, off),
        Some(region) => known(e, region, base, off),
        None => checked(e, access, size, base, off),
    }
}

/// What is added to an address of the guest's to have it for the host.
pub(crate) enum Bias {
    /// What stands there in the state.
    In(i32),
    /// This.
    Is(u64),
}

/// What is added to addresses in a region that is there as long as the run is, as [`proved`](crate::proved) has it.
pub(crate) fn bias(region: Region) -> Bias {
    match region {
        Region::Stack => Bias::In(field!(biases)),
        Region::Context => Bias::In(field!(biases) + 8),
        Region::Packet => Bias::In(field!(biases) + 16),
        Region::Value { bias, .. } => Bias::Is(bias),
    }
}

/// Within a region: proved.
fn known(e: &mut Emitter<'_>, region: Region, base: Reg, off: i16) -> i32 {
    let base = e.host(base);
    match bias(region) {
        Bias::In(at) => match i8::try_from(at) {
            Ok(at) => dynasm!(e.asm ; .arch x64 ; mov r9, [BYTE r12 + at] ; add r9, Rq(base)),
            Err(_) => dynasm!(e.asm ; .arch x64 ; mov r9, [r12 + at] ; add r9, Rq(base)),
        },
        Bias::Is(bias) => dynasm!(e.asm ; .arch x64 ; mov r9, QWORD bias as i64 ; add r9, Rq(base)),
    }
    i32::from(off)
}

/// Within the frame, which the program cannot move.
fn direct(e: &mut Emitter<'_>, base: Reg, off: i16) -> i32 {
    let (base, start) = (e.host(base), region(STACK_REGION) + offset_of!(RegionView, start) as i32);
    dynasm!(e.asm ; .arch x64 ; mov r9, [r12 + start] ; add r9, Rq(base));
    i32::from(off) - STACK as i32
}

/// Anywhere, or a fault.
fn checked(e: &mut Emitter<'_>, access: Access, size: Size, base: Reg, off: i16) -> i32 {
    let base = e.host(base);
    match (off, i8::try_from(off)) {
        (0, _) => dynasm!(e.asm ; .arch x64 ; mov r9, Rq(base)),
        (_, Ok(off)) => dynasm!(e.asm ; .arch x64 ; lea r9, [BYTE Rq(base) + off]),
        (off, Err(_)) => dynasm!(e.asm ; .arch x64 ; lea r9, [Rq(base) + i32::from(off)]),
    }
    match (access, size) {
        (Access::Read, Size::B) => dynasm!(e.asm ; .arch x64 ; call ->read_1),
        (Access::Read, Size::H) => dynasm!(e.asm ; .arch x64 ; call ->read_2),
        (Access::Read, Size::W) => dynasm!(e.asm ; .arch x64 ; call ->read_4),
        (Access::Read, Size::DW) => dynasm!(e.asm ; .arch x64 ; call ->read_8),
        (Access::Write, Size::B) => dynasm!(e.asm ; .arch x64 ; call ->write_1),
        (Access::Write, Size::H) => dynasm!(e.asm ; .arch x64 ; call ->write_2),
        (Access::Write, Size::W) => dynasm!(e.asm ; .arch x64 ; call ->write_4),
        (Access::Write, Size::DW) => dynasm!(e.asm ; .arch x64 ; call ->write_8),
    }
    0
}

/// Where a region's view is in the state.
pub(crate) fn region(number: usize) -> i32 {
    (offset_of!(State, regions) + number * size_of::<RegionView>()) as i32
}

/// The checks, one for each size and direction, and what they fail to.
pub(crate) fn stubs(e: &mut Emitter<'_>) {
    dynasm!(e.asm ; .arch x64 ; ->read_1:);
    stub(e, Access::Read, Size::B);
    dynasm!(e.asm ; .arch x64 ; ->read_2:);
    stub(e, Access::Read, Size::H);
    dynasm!(e.asm ; .arch x64 ; ->read_4:);
    stub(e, Access::Read, Size::W);
    dynasm!(e.asm ; .arch x64 ; ->read_8:);
    stub(e, Access::Read, Size::DW);
    dynasm!(e.asm ; .arch x64 ; ->write_1:);
    stub(e, Access::Write, Size::B);
    dynasm!(e.asm ; .arch x64 ; ->write_2:);
    stub(e, Access::Write, Size::H);
    dynasm!(e.asm ; .arch x64 ; ->write_4:);
    stub(e, Access::Write, Size::W);
    dynasm!(e.asm ; .arch x64 ; ->write_8:);
    stub(e, Access::Write, Size::DW);
    far(e);
}

fn stub(e: &mut Emitter<'_>, access: Access, size: Size) {
    let far = e.asm.new_dynamic_label();
    let inside = (REGION_SIZE - 1) as i32;
    let start = region(0) + offset_of!(RegionView, start) as i32;
    let len = region(0)
        + match access {
            Access::Read => offset_of!(RegionView, readable) as i32,
            Access::Write => offset_of!(RegionView, writable) as i32,
        };
    let bytes = size.bytes() as i8;
    dynasm!(e.asm
        ; .arch x64
        ; mov r10, r9
        ; shr r10, REGION_BITS as i8
        ; cmp r10, REGIONS as i32
        ; jae =>far
        ; shl r10d, 4
        ; mov r11d, r9d
        ; and r11d, inside
        ; add r11d, BYTE bytes
        ; cmp r11d, [r12 + r10 + len]
        ; ja =>far
        ; and r9d, inside
        ; add r9, [r12 + r10 + start]
        ; ret
    );
    dynasm!(e.asm ; .arch x64 ; =>far);
    if e.remembers {
        near(e, access, size);
    }
    dynasm!(e.asm
        ; .arch x64
        ; mov DWORD [r12 + field!(fault_size)], i32::from(size.bytes())
        ; mov DWORD [r12 + field!(fault_write)], i32::from(access == Access::Write)
        ; jmp ->far
    );
    const { assert!(size_of::<RegionView>() == 1 << 4) };
}

/// Within the value of a map that was found last. Programs mostly look at it before they find another.
fn near(e: &mut Emitter<'_>, access: Access, size: Size) {
    let further = e.asm.new_dynamic_label();
    let len = match access {
        Access::Read => field!(near_readable),
        Access::Write => field!(near_writable),
    };
    dynasm!(e.asm
        ; .arch x64
        ; mov r10, r9
        ; sub r10, [r12 + field!(near)]
        ; mov r11d, [r12 + len]
        ; sub r11, r10
        ; jb =>further
        ; cmp r11, i32::from(size.bytes())
        ; jb =>further
        ; add r9, [r12 + field!(near_bias)]
        ; ret
        ; =>further
    );
}

/// What is in no region, or not within one, is Rust's to find, or to refuse.
fn far(e: &mut Emitter<'_>) {
    dynasm!(e.asm ; .arch x64 ; ->far: ; mov [r12 + field!(fault_address)], r9);
    e.spill();
    dynasm!(e.asm ; .arch x64 ; mov esi, [r12 + field!(fault_size)] ; mov edx, [r12 + field!(fault_write)]);
    e.callback(callbacks::locate as *const () as usize);
    e.reload();
    dynasm!(e.asm
        ; .arch x64
        ; mov r9, [r12 + field!(answer)]
        ; test r9, r9
        ; jz >absent
        ; ret
        ; absent:
        ; mov r9, [r12 + field!(fault_address)]
        ; pop r10
        ; mov [r12 + field!(fault_at)], r10
        ; mov [r12 + field!(fault_address)], r9
        ; mov DWORD [r12 + field!(status)], status::FAULT as i32
        ; jmp ->trapped
    );
}
