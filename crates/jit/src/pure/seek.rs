//! The code of a search for a number.
//!
//! ```text
//! cmp  eax, 10            lea  r9d, [rax - 40]       imul r9d, eax, multiplier
//! je   a                  cmp  r9d, 63               shr  r9d, shift
//!                         ja   over                  shl  r9d, 4
//! lea  r9d, [rax - 12]    mov  r10, bits             movd xmm0, eax
//! cmp  r9d, 1             bt   r10, r9               pshufd xmm0, xmm0, 0
//! jbe  b                  jc   a                     pcmpeqd xmm0, [table + r9]
//!                     over:                          pmovmskb r9d, xmm0
//!                                                    test r9d, r9d
//!                                                    jnz  a
//! ```

use dynasmrt::{DynasmApi, DynasmLabelApi, dynasm};
use sandbpf_isa::{Cond, Width};

use super::blocks::{BlockId, Item, Switch};
use super::emit::Out;
use super::search::{Buckets, Plan};

impl Out<'_> {
    /// Follows a plan; ends behind it if the number was not found.
    pub(super) fn seek(&mut self, switch: &Switch, plan: &Plan) {
        match plan {
            Plan::Each(parts) => parts.iter().for_each(|part| self.seek(switch, part)),
            Plan::Range(item) => {
                let cond = self.compare_range(switch, item);
                self.leave_if(cond, item.to);
            }
            Plan::Half { at, low, high } => {
                let above = self.e.asm.new_dynamic_label();
                self.compare_reg(switch, *at);
                dynasm!(self.e.asm ; .arch x64 ; jae =>above);
                self.seek(switch, low);
                self.leave_for(switch.otherwise);
                dynasm!(self.e.asm ; .arch x64 ; =>above);
                self.seek(switch, high);
            }
            Plan::Bits { first, last, bits, to, rest } => {
                let over = self.e.asm.new_dynamic_label();
                let number = self.distance(switch, *first, *last);
                dynasm!(self.e.asm ; .arch x64 ; ja =>over);
                self.bits(number, bits, *to);
                self.seek(switch, rest);
                dynasm!(self.e.asm ; .arch x64 ; =>over);
            }
            Plan::Table { table, to } => {
                self.look_up(switch, table);
                self.leave_if(Cond::Ne, *to);
            }
        }
    }

    /// Compares with a number. Those of a wide switch have the form of immediates.
    fn compare_reg(&mut self, switch: &Switch, number: u64) {
        let (reg, imm) = (self.e.host(switch.reg), number as i32);
        match switch.width {
            Width::W32 => self.compare_number(reg, imm),
            Width::W64 => dynasm!(self.e.asm ; .arch x64 ; cmp Rq(reg), DWORD imm),
        }
    }

    /// Compares with a range; what is so if the number lies there.
    pub(super) fn compare_range(&mut self, switch: &Switch, item: &Item) -> Cond {
        let most = match switch.width {
            Width::W32 => u64::from(u32::MAX),
            Width::W64 => u64::MAX,
        };
        match (item.first, item.last) {
            (first, last) if first == last => {
                self.compare_reg(switch, first);
                Cond::Eq
            }
            (0, last) if last != most => {
                self.compare_reg(switch, last);
                Cond::Le
            }
            (first, last) if last == most => {
                self.compare_reg(switch, first);
                Cond::Ge
            }
            (first, last) => {
                self.distance(switch, first, last);
                Cond::Le
            }
        }
    }

    /// How far the number is from the first of a range, compared with how far the last is; where that stands.
    fn distance(&mut self, switch: &Switch, first: u64, last: u64) -> u8 {
        let (reg, first, far) = (self.e.host(switch.reg), first as i32, (last - first) as i32);
        match switch.width {
            Width::W32 if first == 0 => {
                self.compare_number(reg, far);
                return reg;
            }
            Width::W32 => {
                dynasm!(self.e.asm ; .arch x64 ; lea r9d, [Rq(reg) + first.wrapping_neg()]);
                self.compare_number(9, far);
            }
            Width::W64 => {
                dynasm!(self.e.asm
                    ; .arch x64
                    ; lea r9, [Rq(reg) + first.wrapping_neg()]
                    ; cmp r9, DWORD far
                );
            }
        }
        9
    }

    /// Goes there if the bit of this number is set.
    fn bits(&mut self, number: u8, bits: &[u64], to: BlockId) {
        if let &[bits] = bits {
            dynasm!(self.e.asm ; .arch x64 ; mov r10, QWORD bits as i64 ; bt r10, Rq(number));
            return self.leave_if(Cond::Lt, to);
        }
        let table = self.e.asm.new_dynamic_label();
        self.tables.push((table, bits.iter().flat_map(|word| word.to_le_bytes()).collect()));
        dynasm!(self.e.asm
            ; .arch x64
            ; lea r11, [=>table]
            ; mov r10d, Rd(number)
            ; shr r10d, 5
            ; mov r10d, DWORD [r11 + r10 * 4]
            ; bt r10d, Rd(number)
        );
        // It was carried.
        self.leave_if(Cond::Lt, to);
    }

    /// Looks a number up in a table: not zero if it is there.
    pub(super) fn look_up(&mut self, switch: &Switch, table: &Buckets) {
        let (reg, label) = (self.e.host(switch.reg), self.e.asm.new_dynamic_label());
        let Buckets { multiplier, shift, buckets } = table;
        self.tables.push((label, buckets.iter().flatten().flat_map(|number| number.to_le_bytes()).collect()));
        dynasm!(self.e.asm
            ; .arch x64
            ; imul r9d, Rd(reg), DWORD *multiplier as i32
            ; shr r9d, *shift as i8
            ; shl r9d, 4
            ; lea r11, [=>label]
            ; movd xmm0, Rd(reg)
            ; pshufd xmm0, xmm0, 0
            ; pcmpeqd xmm0, OWORD [r11 + r9]
            ; pmovmskb r9d, xmm0
            ; test r9d, r9d
        );
    }
}
