//! The packet load of classic BPF.
//!
//! ```text
//! cmp   qword [state + packet_len], off + size
//! jb    absent
//! mov   r9, [state + packet]
//! mov   r0, [r9 + off]
//! bswap r0
//! ```

use dynasmrt::{DynamicLabel, DynasmApi, DynasmLabelApi, dynasm};
use sandbpf_isa::{Reg, Size};

use super::{Emitter, branch, field};
use crate::callbacks;

/// `r0 = ntoh(packet[index + off : size])`, or the function returns 0.
pub(crate) fn load(e: &mut Emitter<'_>, size: Size, index: Option<Reg>, off: i32) {
    let (absent, done) = (e.asm.new_dynamic_label(), e.asm.new_dynamic_label());
    let bytes = i32::from(size.bytes());
    match index {
        None if off < 0 => {
            dynasm!(e.asm ; .arch x64 ; mov r9d, off);
            header(e, size, absent);
        }
        None => match off.checked_add(bytes) {
            Some(end) => {
                dynasm!(e.asm
                    ; .arch x64
                    ; cmp QWORD [r12 + field!(packet_len)], end
                    ; jb =>absent
                    ; mov r9, [r12 + field!(packet)]
                );
                read(e, size, off);
            }
            // No packet is that long.
            None => dynasm!(e.asm ; .arch x64 ; jmp =>absent),
        },
        Some(index) => {
            let (index, negative) = (e.host(index), e.asm.new_dynamic_label());
            dynasm!(e.asm
                ; .arch x64
                ; mov r9d, Rd(index)
                ; add r9d, off
                ; js =>negative
                ; lea r10, [r9 + bytes]
                ; cmp r10, [r12 + field!(packet_len)]
                ; ja =>absent
                ; add r9, [r12 + field!(packet)]
            );
            read(e, size, 0);
            dynasm!(e.asm ; .arch x64 ; jmp =>done ; =>negative);
            header(e, size, absent);
        }
    }
    dynasm!(e.asm ; .arch x64 ; jmp =>done ; =>absent);
    let r0 = e.host(Reg::R0);
    dynasm!(e.asm ; .arch x64 ; xor Rd(r0), Rd(r0));
    branch::exit(e);
    dynasm!(e.asm ; .arch x64 ; =>done);
}

/// `r0 = ntoh([r9 + disp])`
fn read(e: &mut Emitter<'_>, size: Size, disp: i32) {
    let r0 = e.host(Reg::R0);
    match size {
        Size::B => dynasm!(e.asm ; .arch x64 ; movzx Rd(r0), BYTE [r9 + disp]),
        Size::H => {
            dynasm!(e.asm ; .arch x64 ; movzx Rd(r0), WORD [r9 + disp] ; rol Rw(r0), 8);
        }
        Size::W => dynasm!(e.asm ; .arch x64 ; mov Rd(r0), DWORD [r9 + disp] ; bswap Rd(r0)),
        Size::DW => dynasm!(e.asm ; .arch x64 ; mov Rq(r0), QWORD [r9 + disp] ; bswap Rq(r0)),
    }
}

/// A negative offset, in r9d, addresses a header: Rust knows where.
fn header(e: &mut Emitter<'_>, size: Size, absent: DynamicLabel) {
    e.spill();
    dynasm!(e.asm ; .arch x64 ; mov esi, r9d ; mov edx, i32::from(size.bytes()));
    e.callback(callbacks::packet as *const () as usize);
    e.reload();
    dynasm!(e.asm ; .arch x64 ; cmp QWORD [r12 + field!(answer)], 0 ; je =>absent);
}
