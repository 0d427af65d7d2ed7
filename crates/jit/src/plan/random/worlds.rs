//! What made-up graphs run on, what they leave, and that passes do not change it.

use super::*;

/// Memory for a run, and a budget that is seldom too small.
pub(crate) fn world(rng: &mut Rng) -> World {
    let mut bytes = |count: u32| -> Vec<u8> {
        let plain = rng.chance(1, 3);
        (0..count).map(|_| if plain { 0 } else { rng.next() as u8 }).collect()
    };
    let (stack, context) = (bytes(STACK_BYTES), bytes(CONTEXT));
    let more = bytes(1)[0] % 32;
    let packet = bytes(PACKET + u32::from(more));
    let budget = if rng.chance(1, 4) { rng.below(50) } else { 1_000_000 };
    World { stack, context, packet, budget }
}

/// What a run leaves. Nobody sees the stack but those who are called, and of the budget what is left if there is a machine.
#[derive(Debug, PartialEq)]
pub(crate) struct Outcome {
    pub(crate) result: Result<u64, Trapped>,
    pub(crate) context: Vec<u8>,
    pub(crate) packet: Vec<u8>,
    pub(crate) budget: Option<u64>,
}

/// Runs a graph. What is called mixes up all it sees.
pub(crate) fn outcome(graph: &Graph, world: &World) -> Outcome {
    let mut world = world.clone();
    let result = run(graph, &mut world, |site, arguments, world| {
        let mut mixed = Rng::new(u64::from(site.0));
        for number in arguments.into_iter().chain([world.budget]) {
            mixed.0 = mixed.next() ^ number;
        }
        for byte in world.stack.iter_mut().chain(&mut world.context).chain(&mut world.packet) {
            mixed.0 = mixed.next() ^ u64::from(*byte);
            if mixed.chance(1, 8) {
                *byte = mixed.next() as u8;
            }
        }
        mixed.next()
    });
    let budget = graph.machine.then_some(world.budget);
    Outcome { result, context: world.context, packet: world.packet, budget }
}

/// Holds what a pass makes of random graphs against what they were.
pub(crate) fn agree(tastes: Tastes, seeds: Range<u64>, change: impl Fn(&mut Graph)) {
    for seed in seeds {
        let mut rng = Rng::new(seed);
        let mut before = graph(&mut rng, tastes);
        before.machine = tastes.calls || seed % 2 == 0;
        let mut after = before.clone();
        change(&mut after);
        if let Err(wrong) = check(&after) {
            panic!("seed {seed}: {wrong}\n{before}\nbecame\n{after}");
        }
        for _ in 0..4 {
            let world = world(&mut rng);
            let wanted = outcome(&before, &world);
            let found = std::panic::catch_unwind(|| outcome(&after, &world));
            assert!(
                found.as_ref().is_ok_and(|found| *found == wanted),
                "seed {seed}: {found:?} is not {wanted:?}\n{before}\nbecame\n{after}"
            );
        }
    }
}

/// Numbers and branches only.
pub(crate) const NUMBERS: Tastes = Tastes { steps: 40, memory: false, slots: false, calls: false };
/// Memory as well.
pub(crate) const MEMORY: Tastes = Tastes { steps: 40, memory: true, slots: false, calls: false };
/// Memory, of which nobody looks at the stack from elsewhere.
pub(crate) const SLOTS: Tastes = Tastes { steps: 50, memory: true, slots: true, calls: false };
/// Everything.
pub(crate) const EVERYTHING: Tastes = Tastes { steps: 60, memory: true, slots: false, calls: true };
