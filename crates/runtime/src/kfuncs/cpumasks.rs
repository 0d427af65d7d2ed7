//! Sets of processors: a bit for each, in words, as `struct cpumask` has them.

use super::kfuncs;
use crate::helpers::errno::{EACCES, EINVAL, fail};
use crate::{Fault, HelperResult, Machine};

impl Machine<'_> {
    /// How many processors there are.
    fn cpus(&self) -> u32 {
        self.world().map_or(1, |world| world.cpus())
    }
}

/// `sizeof(struct bpf_cpumask)` of a kernel for 8192 processors.
const SIZE: u32 = 1032;

/// How many words of a set are used.
fn words(machine: &Machine<'_>) -> u64 {
    u64::from(machine.cpus().div_ceil(64))
}

/// The bits of a word that stand for processors.
fn valid(machine: &Machine<'_>, word: u64) -> u64 {
    match u64::from(machine.cpus()) - 64 * word {
        64.. => u64::MAX,
        bits => (1 << bits) - 1,
    }
}

fn get(machine: &Machine<'_>, mask: u64, word: u64) -> Result<u64, Fault> {
    Ok(machine.memory.read::<8>(mask.wrapping_add(8 * word))? & valid(machine, word))
}

/// All words of a set.
fn all(machine: &Machine<'_>, mask: u64) -> Result<Vec<u64>, Fault> {
    (0..words(machine)).map(|word| get(machine, mask, word)).collect()
}

fn set_all(machine: &mut Machine<'_>, mask: u64, words: &[u64]) -> Result<(), Fault> {
    let at = (0..).map(|word| mask.wrapping_add(8 * word));
    at.zip(words).try_for_each(|(at, &word)| machine.memory.write::<8>(at, word))
}

/// The first processor of these words, or how many there are.
fn first(machine: &Machine<'_>, words: &[u64]) -> u64 {
    let found = (0u64..).zip(words).find(|(_, word)| **word != 0);
    found.map_or(machine.cpus().into(), |(at, word)| 64 * at + u64::from(word.trailing_zeros()))
}

/// Puts what `op` makes of two sets into a third.
fn combine(
    machine: &mut Machine<'_>,
    to: u64,
    [a, b]: [u64; 2],
    op: fn(u64, u64) -> u64,
) -> Result<Vec<u64>, Fault> {
    let (a, b) = (all(machine, a)?, all(machine, b)?);
    let words: Vec<u64> = a.into_iter().zip(b).map(|(a, b)| op(a, b)).collect();
    set_all(machine, to, &words)?;
    Ok(words)
}

/// Changes a processor's bit; whether it was set.
fn change(machine: &mut Machine<'_>, cpu: u64, mask: u64, to: bool) -> HelperResult {
    let cpu = u64::from(cpu as u32);
    if cpu >= machine.cpus().into() {
        return Ok(0);
    }
    let (at, bit) = (mask.wrapping_add(8 * (cpu / 64)), 1 << (cpu % 64));
    let old = machine.memory.read::<8>(at)?;
    machine.memory.write::<8>(at, if to { old | bit } else { old & !bit })?;
    Ok((old & bit != 0).into())
}

/// Whether all words of two sets are so.
fn every(machine: &Machine<'_>, [a, b]: [u64; 2], is_so: fn(u64, u64) -> bool) -> HelperResult {
    let (a, b) = (all(machine, a)?, all(machine, b)?);
    Ok(a.into_iter().zip(b).all(|(a, b)| is_so(a, b)).into())
}

/// The first of both sets.
fn first_of_both(machine: &Machine<'_>, a: u64, b: u64) -> HelperResult {
    let both: Vec<u64> = all(machine, a)?.into_iter().zip(all(machine, b)?).map(|(a, b)| a & b).collect();
    Ok(first(machine, &both))
}

kfuncs! {
    pub(super) static KFUNCS;

    fn bpf_cpumask_create(machine) {
        Ok(machine.world().and_then(|world| world.heap().allocate(SIZE, 1)).unwrap_or(0))
    }

    fn bpf_cpumask_acquire(machine, mask) {
        if machine.acquire_object(mask) { Ok(mask) } else { Err(Machine::no_object(mask).into()) }
    }

    fn bpf_cpumask_release(machine, mask) {
        machine.release_object(mask)?;
        Ok(0)
    }

    fn bpf_cpumask_first(machine, mask) {
        Ok(first(machine, &all(machine, mask)?))
    }

    fn bpf_cpumask_first_zero(machine, mask) {
        let missing: Vec<u64> = (0u64..)
            .zip(all(machine, mask)?)
            .map(|(at, word)| !word & valid(machine, at))
            .collect();
        Ok(first(machine, &missing))
    }

    fn bpf_cpumask_first_and(machine, a, b) {
        first_of_both(machine, a, b)
    }

    fn bpf_cpumask_set_cpu(machine, cpu, mask) {
        change(machine, cpu, mask, true)
    }

    fn bpf_cpumask_clear_cpu(machine, cpu, mask) {
        change(machine, cpu, mask, false)
    }

    fn bpf_cpumask_test_cpu(machine, cpu, mask) {
        let cpu = u64::from(cpu as u32);
        if cpu >= machine.cpus().into() {
            return Ok(0);
        }
        Ok(get(machine, mask, cpu / 64)? >> (cpu % 64) & 1)
    }

    fn bpf_cpumask_test_and_set_cpu(machine, cpu, mask) {
        change(machine, cpu, mask, true)
    }

    fn bpf_cpumask_test_and_clear_cpu(machine, cpu, mask) {
        change(machine, cpu, mask, false)
    }

    fn bpf_cpumask_setall(machine, mask) {
        let full: Vec<u64> = (0..words(machine)).map(|word| valid(machine, word)).collect();
        set_all(machine, mask, &full)?;
        Ok(0)
    }

    fn bpf_cpumask_clear(machine, mask) {
        let empty = vec![0; words(machine) as usize];
        set_all(machine, mask, &empty)?;
        Ok(0)
    }

    fn bpf_cpumask_and(machine, to, a, b) {
        let both = combine(machine, to, [a, b], |a, b| a & b)?;
        Ok(both.iter().any(|&word| word != 0).into())
    }

    fn bpf_cpumask_or(machine, to, a, b) {
        combine(machine, to, [a, b], |a, b| a | b)?;
        Ok(0)
    }

    fn bpf_cpumask_xor(machine, to, a, b) {
        combine(machine, to, [a, b], |a, b| a ^ b)?;
        Ok(0)
    }

    fn bpf_cpumask_equal(machine, a, b) {
        every(machine, [a, b], |a, b| a == b)
    }

    fn bpf_cpumask_intersects(machine, a, b) {
        Ok(1 - every(machine, [a, b], |a, b| a & b == 0)?)
    }

    fn bpf_cpumask_subset(machine, a, b) {
        every(machine, [a, b], |a, b| a & !b == 0)
    }

    fn bpf_cpumask_empty(machine, mask) {
        Ok(all(machine, mask)?.iter().all(|&word| word == 0).into())
    }

    fn bpf_cpumask_full(machine, mask) {
        let all = all(machine, mask)?;
        Ok((0u64..).zip(all).all(|(at, word)| word == valid(machine, at)).into())
    }

    fn bpf_cpumask_copy(machine, to, from) {
        let from = all(machine, from)?;
        set_all(machine, to, &from)?;
        Ok(0)
    }

    // The first is as good as any.
    fn bpf_cpumask_any_distribute(machine, mask) {
        Ok(first(machine, &all(machine, mask)?))
    }

    fn bpf_cpumask_any_and_distribute(machine, a, b) {
        first_of_both(machine, a, b)
    }

    fn bpf_cpumask_weight(machine, mask) {
        Ok(all(machine, mask)?.iter().map(|word| u64::from(word.count_ones())).sum())
    }

    fn bpf_cpumask_populate(machine, mask, source, size) {
        if size < 8 * words(machine) {
            return fail(EACCES);
        }
        if !size.is_multiple_of(8) && !source.is_multiple_of(8) {
            return fail(EINVAL);
        }
        let from: Vec<u64> = (0..words(machine))
            .map(|word| machine.memory.read::<8>(source.wrapping_add(8 * word)))
            .collect::<Result<_, _>>()?;
        set_all(machine, mask, &from)?;
        Ok(0)
    }
}
