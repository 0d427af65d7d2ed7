//! The laws of tristate numbers: what an operation leaves holds every result, and where Linux's verifier is as
//! precise as can be so are we. Small ones are tried out completely, at the bottom, in the middle and at the top of
//! 64 bits.

use proptest::prelude::*;
use sandbpf_verifier::domain::Tnum;

/// All tristate numbers over four bits.
fn small() -> Vec<Tnum> {
    let pairs = (0..16u64).flat_map(|mask| (0..16u64).map(move |value| (value, mask)));
    pairs.filter(|(value, mask)| value & mask == 0).map(|(value, mask)| Tnum { value, mask }).collect()
}

/// Every number in it: the known bits with every choice of the others.
fn members(of: Tnum) -> Vec<u64> {
    let mut all = vec![of.value];
    let mut choice = of.mask;
    while choice != 0 {
        all.push(of.value | choice);
        choice = (choice - 1) & of.mask;
    }
    all
}

/// The least tristate number that holds all of these.
fn least(numbers: impl IntoIterator<Item = u64>) -> Tnum {
    numbers.into_iter().map(Tnum::constant).reduce(Tnum::union).expect("some number")
}

/// A tristate number with its four bits moved up.
fn raised(of: Tnum, by: u8) -> Tnum {
    of.lshift(by)
}

const PLACES: [u8; 4] = [0, 30, 45, 60];

type Two = (&'static str, fn(Tnum, Tnum) -> Tnum, fn(u64, u64) -> u64);

/// Operations whose result is the least that holds all results.
const EXACT: [Two; 5] = [
    ("add", Tnum::add, u64::wrapping_add),
    ("sub", Tnum::sub, u64::wrapping_sub),
    ("and", Tnum::and, |a, b| a & b),
    ("or", Tnum::or, |a, b| a | b),
    ("xor", Tnum::xor, |a, b| a ^ b),
];

#[test]
fn sums_and_bits_are_as_precise_as_can_be() {
    for place in PLACES {
        for a in small().into_iter().map(|a| raised(a, place)) {
            for b in small().into_iter().map(|b| raised(b, place)) {
                let (all_a, all_b) = (members(a), members(b));
                for (name, ours, concrete) in EXACT {
                    let results = all_a.iter().flat_map(|&x| all_b.iter().map(move |&y| concrete(x, y)));
                    assert_eq!(ours(a, b), least(results), "{a} {name} {b}");
                }
            }
            assert_eq!(a.neg(), least(members(a).into_iter().map(u64::wrapping_neg)), "-{a}");
        }
    }
}

#[test]
fn products_hold_every_product() {
    for place in PLACES {
        for a in small() {
            for b in small().into_iter().map(|b| raised(b, place)) {
                let product = a.mul(b);
                assert_eq!(product.value & product.mask, 0, "{a} * {b} = {product}");
                for x in members(a) {
                    for y in members(b) {
                        assert!(product.has(x.wrapping_mul(y)), "{a} * {b} = {product}, but {x} * {y}");
                    }
                }
            }
        }
    }
}

#[test]
fn products_of_constants_are_constants() {
    for (a, b) in [(0, 5), (7, 9), (u64::MAX, 3), (1 << 63, 2), (0xffff_ffff, 0xffff_ffff)] {
        assert_eq!(Tnum::constant(a).mul(Tnum::constant(b)), Tnum::constant(a.wrapping_mul(b)));
    }
}

#[test]
fn shifts_move_every_bit() {
    for a in small().into_iter().flat_map(|a| PLACES.map(|place| raised(a, place))) {
        for by in 0..64u8 {
            assert_eq!(a.lshift(by), least(members(a).into_iter().map(|x| x << by)));
            assert_eq!(a.rshift(by), least(members(a).into_iter().map(|x| x >> by)));
            assert_eq!(a.arshift(by, 64), least(members(a).into_iter().map(|x| ((x as i64) >> by) as u64)));
        }
        for by in 0..32u8 {
            let shifted = members(a).into_iter().map(|x| ((x as i32) >> by) as u32 as u64);
            assert_eq!(a.arshift(by, 32), least(shifted));
        }
    }
}

#[test]
fn sets_relate_as_their_members_do() {
    for a in small() {
        for b in small() {
            let (all_a, all_b) = (members(a), members(b));
            let shared: Vec<u64> = all_a.iter().copied().filter(|x| all_b.contains(x)).collect();
            assert_eq!(a.contains(b), all_b.iter().all(|y| all_a.contains(y)), "{a} {b}");
            assert_eq!(a.overlap(b), !shared.is_empty(), "{a} {b}");
            if !shared.is_empty() {
                assert_eq!(a.intersect(b), least(shared), "{a} {b}");
            }
            assert_eq!(a.union(b), least(all_a.iter().chain(&all_b).copied()), "{a} {b}");
        }
    }
}

#[test]
fn the_number_after_another_is_the_least_above_it() {
    for a in small().into_iter().flat_map(|a| [a, raised(a, 60), raised(a, 60).or(a)]) {
        let all = members(a);
        let near = all.iter().flat_map(|&x| [x.wrapping_sub(1), x, x.wrapping_add(1), x ^ 5, x.swap_bytes()]);
        for number in near.chain([0, u64::MAX, 1 << 60]) {
            let above = all.iter().copied().filter(|&x| x > number).min();
            let most = a.value | a.mask;
            assert_eq!(a.after(number), above.unwrap_or(most), "{number:#x} in {a}");
        }
    }
}

#[test]
fn ranges_are_the_bits_in_common() {
    for min in 0..40u64 {
        for max in min..40 {
            assert_eq!(Tnum::range(min, max), least(min..=max), "{min}..={max}");
        }
    }
    assert_eq!(Tnum::range(0, u64::MAX), Tnum::UNKNOWN);
    assert_eq!(Tnum::range(1 << 63, u64::MAX), Tnum { value: 1 << 63, mask: u64::MAX >> 1 });
}

#[test]
fn it_is_printed_as_the_kernel_prints_it() {
    assert_eq!(Tnum { value: 0, mask: 0xff }.to_string(), "(0x0; 0xff)");
    assert_eq!(Tnum { value: 1 << 63, mask: 0xf0 }.to_string(), "(0x8000000000000000; 0xf0)");
}

fn tnum() -> impl Strategy<Value = Tnum> {
    let masks =
        prop_oneof![any::<u64>(), any::<u64>().prop_map(|m| m & 0xffff_0000_ff00), Just(u64::MAX), Just(0)];
    (any::<u64>(), masks).prop_map(|(value, mask)| Tnum { value: value & !mask, mask })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn wide_results_hold_what_they_should(a in tnum(), b in tnum(), x in any::<u64>(), y in any::<u64>()) {
        let (x, y) = (a.value | (x & a.mask), b.value | (y & b.mask));
        prop_assert!(a.has(x) && b.has(y));
        for (name, ours, concrete) in EXACT {
            prop_assert!(ours(a, b).has(concrete(x, y)), "{name}");
        }
        prop_assert!(a.mul(b).has(x.wrapping_mul(y)));
        prop_assert!(a.neg().has(x.wrapping_neg()));
        prop_assert!(a.union(b).has(x) && a.union(b).has(y));
        prop_assert!(a.union(b).contains(a) && a.union(b).contains(b));
        prop_assert_eq!(a.with_subreg(b), a.clear_subreg().or(b.subreg()));
        prop_assert!(a.with_subreg(b).has((x & !0xffff_ffff) | (y & 0xffff_ffff)));
        prop_assert_eq!(a.const_subreg(7), a.with_subreg(Tnum::constant(7)));
        for bytes in [1, 2, 4, 8] {
            let low = Tnum::constant(x).cast(bytes).value;
            prop_assert!(a.cast(bytes).has(low));
            prop_assert!(a.swap(bytes).has(low.swap_bytes() >> (64 - u32::from(bytes) * 8)));
        }
        prop_assert!(!a.is_aligned(8) || x.is_multiple_of(8));
    }
}
