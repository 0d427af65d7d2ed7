//! Numbers that are put together from pieces of memory side by side, as compilers do where memory may not be aligned:
//! `b[0] | b[1] << 8 | b[2] << 16 | b[3] << 24` is one load, and in the other order one with its bytes reversed.

use sandbpf_isa::{Extend, Size, Width};

use super::super::Walk;
use super::place::Place;
use crate::plan::graph::{Address, BinOp, Op, UnOp, Value};

/// How many pieces a number has at most.
const PIECES: usize = 8;

/// A loaded piece.
#[derive(Clone, Copy, Debug)]
struct Piece {
    load: Value,
    at: Address,
    place: Place,
    size: Size,
    swap: bool,
    /// By how much it is shifted to the left.
    shift: i64,
}

/// The load that an operation is the last step of, if it is one.
pub(super) fn joined(walk: &mut Walk<'_>, value: Value) -> Option<Op> {
    let &Op::Bin { op: BinOp::Or | BinOp::Add | BinOp::Xor, width, a, b } = walk.graph.op(value) else {
        return None;
    };
    let mut pieces = [None::<Piece>; PIECES];
    let mut count = 0;
    // What is still to be looked at, and the width of what it is an operand of.
    let mut waiting = [(a, width); PIECES];
    waiting[1] = (b, width);
    let mut left = 2;
    while left > 0 {
        left -= 1;
        let (value, width) = waiting[left];
        if let Op::Bin { op: BinOp::Or | BinOp::Add | BinOp::Xor, width: inner, a, b } = *walk.graph.op(value)
        {
            if left + 2 > PIECES {
                return None;
            }
            let width = if width == Width::W32 { width } else { inner };
            (waiting[left], waiting[left + 1]) = ((a, width), (b, width));
            left += 2;
            continue;
        }
        let piece = piece(walk, value)?;
        // Bits that do not fit would be lost.
        if piece.shift + i64::from(piece.size.bits()) > width.bits().into() || count == PIECES {
            return None;
        }
        pieces[count] = Some(piece);
        count += 1;
    }
    let pieces = &mut pieces[..count];
    pieces.sort_unstable_by_key(|piece| piece.map(|piece| piece.shift));
    let first = pieces.first().copied().flatten()?;
    let bytes: i64 = pieces.iter().flatten().map(|piece| piece.place.bytes).sum();
    let size = Size::of_bytes(u64::try_from(bytes).ok()?)?;
    // From the low end of the number to the high one, memory goes up, or down.
    let mut orders = [true; 2];
    let (mut shift, mut lowest) = (first.shift, first);
    let (mut up, mut down) = (first.place.from, first.place.from + first.place.bytes);
    for piece in pieces.iter().flatten() {
        let byte = piece.size == Size::B;
        if piece.shift != shift || !piece.place.near(&first.place) || !walk.still(piece.load) {
            return None;
        }
        orders[0] &= piece.place.from == up && (byte || !piece.swap);
        orders[1] &= piece.place.from + piece.place.bytes == down && (byte || piece.swap);
        shift += i64::from(piece.size.bits());
        up += piece.place.bytes;
        down -= piece.place.bytes;
        if piece.place.from < lowest.place.from {
            lowest = *piece;
        }
    }
    let swap = match orders {
        [true, _] => false,
        [false, true] => true,
        [false, false] => return None,
    };
    let load = Op::Load { at: lowest.at, size, extend: Extend::Zero, swap };
    if first.shift == 0 {
        return Some(load);
    }
    let a = walk.put(load);
    let b = walk.number(first.shift as u64);
    Some(Op::Bin { op: BinOp::Lsh, width: Width::W64, a, b })
}

/// What a value is if it is loaded without more bits than memory has, and shifted.
fn piece(walk: &Walk<'_>, value: Value) -> Option<Piece> {
    let (mut value, mut shift) = (value, 0);
    if let Op::Bin { op: BinOp::Lsh, width, a, b } = *walk.graph.op(value) {
        let count = walk.graph.constant(b).filter(|&count| count < width.bits().into())?;
        (value, shift) = (a, count as i64);
        if let Op::Load { size, .. } = walk.graph.op(value) {
            if shift + i64::from(size.bits()) > width.bits().into() {
                return None;
            }
        }
    }
    let mut reversed = None;
    if let Op::Un { op: op @ (UnOp::Swap16 | UnOp::Swap32), a } = *walk.graph.op(value) {
        (value, reversed) = (a, Some(op));
    }
    let &Op::Load { at, size, extend: Extend::Zero, swap } = walk.graph.op(value) else { return None };
    let swap = match (reversed, size) {
        (None, _) => swap,
        (Some(UnOp::Swap16), Size::H) | (Some(UnOp::Swap32), Size::W) => !swap,
        _ => return None,
    };
    Some(Piece { load: value, at, place: Place::of(walk.graph, &at, size), size, swap, shift })
}
