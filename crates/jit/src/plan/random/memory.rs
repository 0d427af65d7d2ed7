//! Accesses of made-up graphs.

use super::*;

impl Generator<'_> {
    pub(super) fn size(&mut self) -> Size {
        *self.rng.pick(Size::ALL)
    }

    pub(super) fn touch(&mut self) {
        match self.rng.below(13) {
            0..=3 => self.load(),
            4..=6 => self.store(),
            7 => {
                // Bytes of a number, loaded one by one.
                let (size, swapped) = (self.size(), self.rng.chance(1, 2));
                let bytes = u32::from(size.bytes());
                let at = self.address(bytes);
                let mut whole = None;
                for byte in 0..bytes {
                    let at = Address { disp: at.disp + byte as i32, ..at };
                    let load = Op::Load { at, size: Size::B, extend: Extend::Zero, swap: false };
                    let loaded = self.append(load);
                    let place = if swapped { bytes - 1 - byte } else { byte };
                    let shifted = if place == 0 {
                        loaded
                    } else {
                        self.with(BinOp::Lsh, Width::W64, loaded, u64::from(place) * 8)
                    };
                    whole = Some(match whole {
                        None => shifted,
                        Some(whole) => self.binary(BinOp::Or, Width::W64, whole, shifted),
                    });
                    if self.rng.chance(1, 12) {
                        self.store();
                    }
                }
            }
            8 => {
                // A number, stored byte by byte.
                let (value, swapped) = (self.value(), self.rng.chance(1, 2));
                let bytes = u32::from(self.size().bytes());
                let at = self.address(bytes);
                for byte in 0..bytes {
                    let place = if swapped { bytes - 1 - byte } else { byte };
                    let value = match place {
                        0 => value,
                        _ => self.with(BinOp::Rsh, Width::W64, value, u64::from(place) * 8),
                    };
                    let at = Address { disp: at.disp + byte as i32, ..at };
                    self.append(Op::Store { at, size: Size::B, value, swap: false });
                    if self.rng.chance(1, 12) {
                        self.load();
                    }
                }
            }
            9 => {
                // Some bytes copied, one by one, or first loaded and then stored.
                let bytes = self.rng.below(9) as u32;
                let (from, to, at_once) = (self.address(8), self.address(8), self.rng.chance(1, 2));
                let mut values = Vec::new();
                for byte in 0..bytes as i32 {
                    let at = Address { disp: from.disp + byte, ..from };
                    values.push(self.append(Op::Load {
                        at,
                        size: Size::B,
                        extend: Extend::Zero,
                        swap: false,
                    }));
                    if !at_once {
                        let (at, value) = (Address { disp: to.disp + byte, ..to }, values[byte as usize]);
                        self.append(Op::Store { at, size: Size::B, value, swap: false });
                    }
                }
                for (byte, value) in values.into_iter().enumerate().filter(|_| at_once) {
                    let at = Address { disp: to.disp + byte as i32, ..to };
                    self.append(Op::Store { at, size: Size::B, value, swap: false });
                }
            }
            10 if !self.tastes.slots => {
                // Something behind a check, which may fail.
                let (region, bytes) = self.region();
                let room = u64::from(bytes) + 8;
                let offset =
                    if self.rng.chance(1, 30) { room } else { self.rng.below(u64::from(bytes) - 16) };
                let at = match self.rng.below(3) {
                    0 => self.number(self.graph.start(region) + offset),
                    _ => {
                        let x = self.value();
                        let masked = self.with(BinOp::And, Width::W64, x, 7);
                        self.with(BinOp::Add, Width::W64, masked, self.graph.start(region) + offset)
                    }
                };
                let (size, site) = (self.size(), self.site());
                let checked = u32::from(size.bytes());
                let host = self.graph.append(
                    self.block,
                    Op::Host { at, off: 0, size: checked, likely: region, stack: STACK_BYTES, site },
                );
                let at = Address { base: host, index: None, disp: 0, region: None };
                if self.rng.chance(1, 2) {
                    let value = self.value();
                    self.append(Op::Store { at, size, value, swap: false });
                } else {
                    self.append(Op::Load { at, size, extend: Extend::Zero, swap: false });
                }
            }
            11 => {
                let from = self.rng.below(u64::from(STACK_BYTES));
                let bytes = self.rng.below(u64::from(STACK_BYTES) - from + 1) as u32;
                self.append(Op::Clear { from: 0x2000_0000 + from, bytes });
            }
            _ => {
                let site = self.site();
                self.append(Op::Charge { cost: 1, site });
            }
        }
    }

    pub(super) fn load(&mut self) {
        let (size, swap) = (self.size(), self.rng.chance(1, 6));
        let extend = *self.rng.pick(&[Extend::Zero, Extend::Zero, Extend::Sign]);
        let at = self.address(size.bytes().into());
        self.append(Op::Load { at, size, extend, swap });
    }

    pub(super) fn store(&mut self) {
        let (size, swap, value) = (self.size(), self.rng.chance(1, 6), self.value());
        let at = self.address(size.bytes().into());
        self.append(Op::Store { at, size, value, swap });
    }

    pub(super) fn region(&mut self) -> (Region, u32) {
        *self.rng.pick(&[
            (Region::Stack, STACK_BYTES),
            (Region::Stack, STACK_BYTES),
            (Region::Context, CONTEXT),
            (Region::Packet, PACKET),
        ])
    }

    /// Where so many bytes are.
    pub(super) fn address(&mut self, size: u32) -> Address {
        let (region, bytes) = self.region();
        let base = self.graph.add(Op::Base(region));
        let room = u64::from(bytes - size);
        let start = self.graph.start(region);
        // Accesses at few places meet more often.
        let place = self.rng.below(room + 1) & *self.rng.pick(&[!0, !3, !7]);
        let constant = self.tastes.slots && region == Region::Stack;
        let region = Some(region);
        match self.rng.below(6) {
            _ if constant => Address { base, index: None, disp: place as i32, region },
            0..=2 => Address { base, index: None, disp: place as i32, region },
            3 => {
                let (x, mask, scale) = (self.value(), *self.rng.pick(&[1, 3, 7]), self.rng.below(2) as u8);
                let index = self.with(BinOp::And, Width::W64, x, mask);
                let disp = self.rng.below(room - (mask << scale) + 1) as i32;
                Address { base, index: Some((index, scale)), disp, region }
            }
            form => {
                // A guest's address.
                let (x, mask) = (self.value(), *self.rng.pick(&[1, 7]));
                let index = self.with(BinOp::And, Width::W64, x, mask);
                let first = self.rng.below(room - mask + 1);
                let second = self.rng.below(room - mask - first + 1);
                let address = if form == 4 {
                    self.with(BinOp::Add, Width::W64, index, start + first)
                } else {
                    let start = self.number(start + first);
                    self.binary(BinOp::Add, Width::W64, start, index)
                };
                let disp = (second as i64 - start as i64) as i32;
                Address { base, index: Some((address, 0)), disp, region }
            }
        }
    }
}
