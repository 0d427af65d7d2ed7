//! Moves that happen at once, one after the other.
//!
//! A move may overwrite what another still has to read; those that nobody waits for go first, and what is left are circles,
//! which exchange. From one word of the frame to another it goes through a vector register, which nobody uses otherwise.

/// Where a variable is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Home {
    Register(u8),
    /// A word of the frame, by its number.
    Slot(u32),
    /// Nowhere: it is made when it is wanted.
    Number(u64),
}

/// A move.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Move {
    pub(crate) from: Home,
    pub(crate) to: Home,
}

/// What is done, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    /// From one word of the frame to another, by a register that nobody uses otherwise.
    Move(Move),
    /// Registers exchange.
    Exchange(u8, u8),
    /// What is there is put away, …
    Keep(Home),
    /// … and is put there.
    Restore(Home),
}

/// Calls `act` with what to do, so that all moves happen at once. Registers exchange only if they may: it takes longer than moving
/// one out of the way.
pub(crate) fn order(moves: &mut Vec<Move>, exchange: bool, mut act: impl FnMut(Action)) {
    moves.retain(|step| step.from != step.to);
    // Numbers read nothing; they go last.
    let is_number = |step: &Move| matches!(step.from, Home::Number(_));
    moves.sort_by_key(is_number);
    let numbers = moves.split_off(moves.partition_point(|step| !is_number(step)));
    while !moves.is_empty() {
        let free = moves.iter().position(|step| !moves.iter().any(|other| other.from == step.to));
        if let Some(place) = free {
            act(Action::Move(moves.swap_remove(place)));
            continue;
        }
        // Nothing but circles, of which every place is read once.
        let step = moves.swap_remove(0);
        match (step.from, step.to) {
            (Home::Register(a), Home::Register(b)) if exchange => {
                // What was in `to` is in `from` now.
                act(Action::Exchange(a, b));
                for other in moves.iter_mut().filter(|other| other.from == step.to) {
                    other.from = step.from;
                }
                moves.retain(|step| step.from != step.to);
            }
            _ => circle(step, moves, &mut act),
        }
    }
    for step in numbers {
        act(Action::Move(step));
    }
}

/// A circle with words of the frame in it: what the first move overwrites is put away for the last.
fn circle(first: Move, moves: &mut Vec<Move>, act: &mut impl FnMut(Action)) {
    act(Action::Keep(first.to));
    let mut step = first;
    loop {
        act(Action::Move(step));
        let Some(place) = moves.iter().position(|other| other.to == step.from) else { return };
        let next = moves.swap_remove(place);
        if next.from == first.to {
            return act(Action::Restore(next.to));
        }
        step = next;
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;

    fn home() -> impl Strategy<Value = Home> {
        prop_oneof![(0u8..6).prop_map(Home::Register), (0u32..4).prop_map(Home::Slot)]
    }

    proptest! {
        /// Done one after the other, moves leave what they leave at once.
        #[test]
        fn at_once(
            exchange: bool,
            moves in proptest::collection::hash_map(
                home().prop_map(|home| format!("{home:?}")),
                (home(), prop_oneof![5 => home(), 1 => any::<u64>().prop_map(Home::Number)]),
                0..10,
            )
        ) {
            // Every place is written once.
            let mut moves: Vec<Move> = moves.into_values().map(|(to, from)| Move { from, to }).collect();
            let mut seen = Vec::new();
            moves.retain(|step| !seen.contains(&step.to) && { seen.push(step.to); true });
            let before = |home: Home| match home {
                Home::Number(number) => number,
                Home::Register(number) => 1000 + u64::from(number),
                Home::Slot(number) => 2000 + u64::from(number),
            };
            let wanted: HashMap<String, u64> =
                moves.iter().map(|step| (format!("{:?}", step.to), before(step.from))).collect();
            let mut now: HashMap<String, u64> = HashMap::new();
            let mut kept = 0;
            let get = |now: &HashMap<String, u64>, home: Home| {
                now.get(&format!("{home:?}")).copied().unwrap_or(before(home))
            };
            order(&mut moves, exchange, |action| match action {
                Action::Move(step) => {
                    let value = get(&now, step.from);
                    now.insert(format!("{:?}", step.to), value);
                }
                Action::Exchange(a, b) => {
                    let (a, b) = (Home::Register(a), Home::Register(b));
                    let (first, second) = (get(&now, a), get(&now, b));
                    now.insert(format!("{a:?}"), second);
                    now.insert(format!("{b:?}"), first);
                }
                Action::Keep(home) => kept = get(&now, home),
                Action::Restore(home) => { now.insert(format!("{home:?}"), kept); }
            });
            for (place, value) in wanted {
                prop_assert_eq!(now.get(&place).copied().unwrap_or(value), value);
            }
        }
    }
}
