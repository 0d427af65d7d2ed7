//! The laws of what is known of a number: whatever a program does with the numbers that may be it, what is known
//! afterwards holds the outcome.

use proptest::prelude::*;
use sandbpf_isa::{AluOp, Cond, Size, UnaryOp, Width};
use sandbpf_verifier::domain::{Scalar, Tnum, branch_taken, refine, refine_itself};

const WIDTHS: [Width; 2] = [Width::W32, Width::W64];

/// The least that holds all of these.
fn least(numbers: &[u64]) -> Scalar {
    let mut all = Scalar::known(numbers[0]);
    for &number in &numbers[1..] {
        let one = Scalar::known(number);
        all = Scalar {
            var_off: all.var_off.union(one.var_off),
            smin: all.smin.min(one.smin),
            smax: all.smax.max(one.smax),
            umin: all.umin.min(one.umin),
            umax: all.umax.max(one.umax),
            s32_min: all.s32_min.min(one.s32_min),
            s32_max: all.s32_max.max(one.s32_max),
            u32_min: all.u32_min.min(one.u32_min),
            u32_max: all.u32_max.max(one.u32_max),
        };
    }
    all
}

fn holds_all(
    what: &str,
    known: &Scalar,
    numbers: impl IntoIterator<Item = u64>,
) -> Result<(), TestCaseError> {
    for number in numbers {
        prop_assert!(known.contains(number), "{what}: {number:#x} is not in {known:x?}");
    }
    Ok(())
}

/// What must hold of two numbers of which this is known, when they may be these.
fn laws(a: &Scalar, all_a: &[u64], b: &Scalar, all_b: &[u64]) -> Result<(), TestCaseError> {
    let pairs = || all_a.iter().flat_map(|&x| all_b.iter().map(move |&y| (x, y)));
    for width in WIDTHS {
        for &op in AluOp::ALL.iter().filter(|op| op.has_width(width)) {
            let known = a.alu(op, width, b);
            holds_all(
                &format!("{op:?} {width:?} of {a:x?} and {b:x?}"),
                &known,
                pairs().map(|(x, y)| op.eval(width, x, y)),
            )?;
        }
        for &cond in Cond::ALL {
            let outcomes = pairs().map(|(x, y)| cond.eval(width, x, y));
            if let Some(taken) = branch_taken(cond, width, a, b) {
                prop_assert!(
                    outcomes.clone().all(|outcome| outcome == taken),
                    "{cond:?} {width:?} {a:x?} {b:x?}"
                );
                continue;
            }
            for taken in [false, true] {
                let (mut left, mut right) = (*a, *b);
                refine(cond, width, taken, &mut left, &mut right);
                for (x, y) in pairs().filter(|&(x, y)| cond.eval(width, x, y) == taken) {
                    holds_all(&format!("left of {cond:?} {width:?} {taken} {a:x?} {b:x?}"), &left, [x])?;
                    holds_all(&format!("right of {cond:?} {width:?} {taken} {a:x?} {b:x?}"), &right, [y])?;
                }
            }
        }
    }
    Ok(())
}

/// What must hold of one number.
fn laws_of_one(a: &Scalar, all: &[u64]) -> Result<(), TestCaseError> {
    let all = || all.iter().copied();
    for &op in UnaryOp::ALL {
        holds_all(&format!("{op:?} of {a:x?}"), &a.unary(op), all().map(|x| op.eval(x)))?;
    }
    for &size in Size::ALL {
        let mut cut = *a;
        cut.truncate(size);
        holds_all(&format!("{size:?} of {a:x?}"), &cut, all().map(|x| size.truncate(x)))?;
        let mut long = *a;
        long.sign_extend(size, Width::W64);
        holds_all(&format!("{size:?} of {a:x?}, extended"), &long, all().map(|x| size.sign_extend(x)))?;
    }
    let mut low = *a;
    low.zero_extend_32();
    holds_all("zero extended", &low, all().map(|x| u64::from(x as u32)))?;
    for width in WIDTHS {
        for by in [1, -1, 4096, i64::from(i32::MIN), i64::from(i32::MAX)] {
            let moved = a.moved(by, width);
            holds_all("moved", &moved, all().map(|x| AluOp::Add.eval(width, x, by as u64)))?;
        }
        for &cond in Cond::ALL {
            let mut itself = *a;
            let kept: Vec<u64> = all().filter(|&x| cond.eval(width, x, x)).collect();
            refine_itself(cond, width, true, &mut itself);
            holds_all("compared with itself", &itself, kept)?;
        }
    }
    Ok(())
}

/// A number of which it is known that it lies between these, as a signed or as an unsigned one.
fn between(min: i64, max: i64) -> (Scalar, Vec<u64>) {
    let mut known = Scalar { smin: min, smax: max, ..Scalar::UNKNOWN };
    known.sync();
    (known, (min..=max).map(|x| x as u64).collect())
}

#[test]
fn small_ranges_obey_the_laws() {
    // Around zero, around the largest 32-bit numbers, and where 64 bits wrap around.
    for base in [0, i64::from(i32::MAX), i64::from(u32::MAX), i64::from(i32::MIN)] {
        let ranges: Vec<_> =
            (-3..=3).flat_map(|min| (min..=3).map(move |max| between(base + min, base + max))).collect();
        for (a, all_a) in &ranges {
            laws_of_one(a, all_a).expect("the laws of one");
            for (b, all_b) in ranges.iter().step_by(3).chain(&[between(-2, 1), between(0, 5), between(1, 1)])
            {
                laws(a, all_a, b, all_b).expect("the laws of two");
            }
        }
    }
}

#[test]
fn few_known_bits_obey_the_laws() {
    let tnums: Vec<(Scalar, Vec<u64>)> = (0..64u64)
        .map(|both| (both >> 3, both & 7))
        .filter(|(value, mask)| value & mask == 0)
        .flat_map(|(value, mask)| [0, 29, 61].map(|by| (value << by, mask << by)))
        .map(|(value, mask)| {
            let mut known = Scalar { var_off: Tnum { value, mask }, ..Scalar::UNKNOWN };
            known.sync();
            let shift = (value | mask).trailing_zeros().min(61) / 29 * 29;
            let all = (0..8u64).map(|x| x << if shift == 58 { 61 } else { shift });
            (known, all.filter(|&x| known.var_off.has(x)).collect())
        })
        .filter(|(_, all): &(Scalar, Vec<u64>)| !all.is_empty())
        .collect();
    assert!(tnums.len() > 60);
    for (a, all_a) in &tnums {
        laws_of_one(a, all_a).expect("the laws of one");
        for (b, all_b) in &tnums {
            laws(a, all_a, b, all_b).expect("the laws of two");
        }
    }
}

/// Numbers that programs like to be near to.
fn number() -> impl Strategy<Value = u64> {
    let edges = prop_oneof![
        Just(0u64),
        Just(0x7f),
        Just(0xff),
        Just(0x7fff),
        Just(0xffff),
        Just(0x7fff_ffff),
        Just(0x8000_0000),
        Just(0xffff_ffff),
        Just(0x1_0000_0000),
        Just(0x7fff_ffff_ffff_ffff),
        Just(0x8000_0000_0000_0000),
        Just(0xffff_ffff_8000_0000),
    ];
    prop_oneof![
        any::<u64>(),
        0..64u64,
        (edges, -4..4i64).prop_map(|(edge, by)| edge.wrapping_add_signed(by)),
        any::<i32>().prop_map(|x| x as u64),
    ]
}

/// Some numbers, and something that is known of them: the least, with some parts forgotten.
fn known() -> impl Strategy<Value = (Scalar, Vec<u64>)> {
    (prop::collection::vec(number(), 1..4), any::<u16>()).prop_map(|(numbers, forget)| {
        let mut known = least(&numbers);
        let unknown = Scalar::UNKNOWN;
        let forgets = |part: u16| forget >> 9 != 0 && forget & (1 << part) != 0;
        if forgets(0) {
            known.var_off = Tnum::UNKNOWN;
        }
        if forgets(1) {
            (known.smin, known.s32_min) = (unknown.smin, unknown.s32_min);
        }
        if forgets(2) {
            (known.smax, known.s32_max) = (unknown.smax, unknown.s32_max);
        }
        if forgets(3) {
            (known.umin, known.u32_min) = (unknown.umin, unknown.u32_min);
        }
        if forgets(4) {
            (known.umax, known.u32_max) = (unknown.umax, unknown.u32_max);
        }
        if forgets(5) {
            known.unbounded_32();
        }
        if forgets(6) {
            known.unbounded_64();
        }
        (known, numbers)
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_known_stays_true((a, all_a) in known(), (b, all_b) in known()) {
        let (mut a, mut b) = (a, b);
        a.sync();
        b.sync();
        laws(&a, &all_a, &b, &all_b)?;
        laws_of_one(&a, &all_a)?;
    }

    #[test]
    fn learning_loses_nothing_and_nobody((before, all) in known()) {
        let mut after = before;
        after.sync();
        holds_all("synced", &after, all)?;
        // Of a number that fits into 31 bits the kernel takes the bounds of the low half for those of the whole, even
        // where it knew better.
        let small = after.smin >= 0 && after.smax <= i32::MAX.into();
        prop_assert!(small || after.is_within(&before), "{before:x?} became {after:x?}");
        prop_assert!(before.var_off.contains(after.var_off));
        prop_assert!(!after.is_broken());
        prop_assert!(after.is_within(&after));
        prop_assert!(after.is_within(&Scalar::UNKNOWN));
    }

    #[test]
    fn what_holds_another_holds_its_numbers((a, all) in known(), (b, _) in known()) {
        if a.is_within(&b) && b.var_off.contains(a.var_off) {
            holds_all("outer", &b, all)?;
        }
    }

    #[test]
    fn known_numbers_are_computed_with(x in number(), y in number()) {
        let (a, b) = (Scalar::known(x), Scalar::known(y));
        for width in WIDTHS {
            for &cond in Cond::ALL {
                prop_assert_eq!(branch_taken(cond, width, &a, &b), Some(cond.eval(width, x, y)));
            }
            let followed = [AluOp::Add, AluOp::Sub, AluOp::And, AluOp::Or, AluOp::Xor, AluOp::Mul, AluOp::Mov];
            for op in followed {
                prop_assert_eq!(a.alu(op, width, &b), Scalar::known(op.eval(width, x, y)), "{:?} {:?}", op, width);
            }
            for op in [AluOp::Lsh, AluOp::Rsh, AluOp::Arsh] {
                let by = y % u64::from(width.bits());
                let result = a.alu(op, width, &Scalar::known(by));
                prop_assert_eq!(result, Scalar::known(op.eval(width, x, by)), "{:?} {:?}", op, width);
            }
        }
        for &op in UnaryOp::ALL {
            prop_assert_eq!(a.unary(op), Scalar::known(op.eval(x)), "{:?}", op);
        }
    }
}

#[test]
fn what_contradicts_itself_is_broken_and_settles() {
    let mut empty = Scalar { umin: 2, umax: 1, ..Scalar::UNKNOWN };
    assert!(empty.is_broken());
    empty.settle();
    assert_eq!(empty, Scalar::UNKNOWN);
    let mut stale = Scalar { var_off: Tnum::constant(3), ..Scalar::UNKNOWN };
    assert!(stale.is_broken());
    stale.settle();
    assert_eq!(stale.var_off, Tnum::constant(3), "the bits stay");
    assert!(!Scalar::UNKNOWN.is_broken());
    assert!(!Scalar::known(5).is_broken());
}
