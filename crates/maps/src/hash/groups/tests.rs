//! Groups fill, empty, and lead on.

use super::*;
use proptest::prelude::*;

impl Sought for u32 {
    fn is_in(&self, slot: u32) -> bool {
        *self == slot
    }
}

proptest! {
    /// Few hashes, so that many elements are in a home, and more than it holds.
    #[test]
    fn agrees_with_a_list(
        most in prop_oneof![1u32..5, Just(16), Just(100)],
        slots in prop_oneof![Just(u64::MAX), Just(40)],
        ordered in any::<bool>(),
        steps in prop::collection::vec((any::<bool>(), 0usize..200, 0u32..40), 0..300),
    ) {
        let groups = Groups::new(most, slots, ordered).unwrap();
        let mut list = Vec::<(u32, u32)>::new();
        for (adds, at, number) in steps {
            let number = number & 0xf | number >> 4 << 28;
            let hash = if ordered { groups.hash_of(number) } else { number.rotate_right(4) };
            if ordered {
                prop_assert_eq!(groups.bucket(hash), number & (groups.buckets() - 1));
            }
            prop_assert!(groups.bucket(hash) < groups.buckets());
            if adds && list.len() < most as usize {
                let mut home = groups.lock(hash).unwrap();
                match home.free() {
                    Ok(slot) => {
                        prop_assert!(!home.has(slot) && slot < groups.slots());
                        home.add(hash, slot);
                        list.push((hash, slot));
                    }
                    Err(errno) => prop_assert!(errno == Errno::ENOMEM && slots < u64::from(most)),
                }
            } else if !adds && !list.is_empty() {
                let (hash, slot) = list.swap_remove(at % list.len());
                let mut home = groups.lock_slot(slot).expect("somebody has it");
                prop_assert_eq!(home.find(hash, &slot), Some(slot));
                home.remove(slot);
            }
            for &(hash, slot) in &list {
                prop_assert_eq!(groups.find(hash, &slot), Some(slot));
                let glance = groups.glance(hash, |other| Some(other == slot));
                prop_assert!(glance == Glance::Slot(slot) || glance == Glance::Unsure && slots < 100 || most > 12);
            }
            prop_assert_eq!(groups.find(hash, &u32::MAX), None);
            let hash_of = |slot| list.iter().find(|pair| pair.1 == slot).map_or(0, |pair| pair.0);
            let (mut walked, mut bucket) = (Vec::new(), 0);
            while let Some(found) = groups.next_bucket(bucket, hash_of) {
                let (home, inside) = groups.home_of(found);
                let mine = |elements: &[Element]| {
                    let mine = elements.iter().filter(|&&element| groups.bucket_of(element, hash_of) == inside);
                    mine.map(|element| element.slot).collect::<Vec<u32>>()
                };
                let slots = groups.look(home, mine).unwrap();
                prop_assert!(!slots.is_empty());
                prop_assert!(slots.iter().all(|&slot| groups.bucket(hash_of(slot)) == found));
                walked.extend(slots);
                bucket = u64::from(found) + 1;
            }
            walked.sort_unstable();
            let mut slots: Vec<u32> = list.iter().map(|pair| pair.1).collect();
            slots.sort_unstable();
            prop_assert_eq!(walked, slots);
        }
    }
}
