//! Tries beside lists.

use super::*;
use crate::values::Shape;
use proptest::prelude::*;
use std::collections::BTreeMap;

fn covers(a: (u32, u16), b: (u32, u16)) -> bool {
    a.0 <= b.0 && (a.0 == 0 || (a.1 ^ b.1) >> (16 - a.0) == 0)
}

fn key((bits, data): (u32, u16)) -> Vec<u8> {
    [&bits.to_ne_bytes()[..], &data.to_be_bytes()].concat()
}

proptest! {
    #[test]
    fn agrees_with_a_list(steps in prop::collection::vec((0u8..4, 0u32..17, 0u16..64), 1..200)) {
        let shape = Shape { head: 0, size: 2, copies: 1, memory: 1 << 20, fields: &[] };
        let lpm = Lpm::new(6, 40, 1 << 20, |slots| Values::new(slots, shape));
        let mut list = BTreeMap::<(u32, u16), u16>::new();
        for (number, (what, bits, data)) in steps.into_iter().enumerate() {
            // Few low bits and few high ones, so that prefixes meet.
            let data = data << 12 | data;
            let canonical = |bits: u32| if bits == 0 { 0 } else { data >> (16 - bits) << (16 - bits) };
            let entry = (bits, canonical(bits));
            match what {
                0 | 1 => {
                    let value = number as u16;
                    let full = list.len() == 40 && !list.contains_key(&entry);
                    let done = lpm.update(&key((bits, data)), &value.to_le_bytes(), 0);
                    prop_assert_eq!(done.is_err(), full);
                    if !full {
                        list.insert(entry, value);
                    }
                }
                2 => {
                    let done = lpm.delete(&key((bits, data)));
                    prop_assert_eq!(done.is_ok(), list.remove(&entry).is_some());
                }
                _ => {
                    let best = list.iter().filter(|(e, _)| covers(**e, (bits, data))).max_by_key(|e| e.0.0);
                    let found = lpm.lookup(&key((bits, data))).map(|slot| {
                        let mut value = [0; 2];
                        lpm.values.read(slot.into(), 0, &mut value);
                        u16::from_le_bytes(value)
                    });
                    prop_assert_eq!(found, best.map(|(_, &value)| value));
                }
            }
            prop_assert_eq!(lpm.entries() as usize, list.len());
        }
        let (mut walked, mut at) = (0, None);
        while let Ok(next) = lpm.next_key(at.as_deref()) {
            walked += 1;
            prop_assert!(walked <= list.len());
            at = Some(next);
        }
        prop_assert_eq!(walked, list.len());
    }
}
