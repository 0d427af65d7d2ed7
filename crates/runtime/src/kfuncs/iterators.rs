//! Iterators: on the program's stack, as `struct bpf_iter_num` and the others have them.

use super::kfuncs;
use crate::helpers::errno::{E2BIG, EFAULT, EINVAL, ENOENT, ENOMEM, fail};
use crate::{Fault, HelperResult, Machine};

/// The longest loop over numbers (`BPF_MAX_LOOPS`).
const MAX_LOOPS: i64 = 8 << 20;
/// The most words of bits (`BITS_ITER_NR_WORDS_MAX`).
const MAX_WORDS: u32 = 511;
/// The bits in a word.
const WORD: u32 = 64;

/// Reads a number with a sign.
fn int(machine: &Machine<'_>, at: u64) -> Result<i32, Fault> {
    Ok(machine.memory.read::<4>(at)? as i32)
}

fn set_int(machine: &mut Machine<'_>, at: u64, value: i32) -> Result<(), Fault> {
    machine.memory.write::<4>(at, u64::from(value as u32))
}

/// Sets all words of an iterator.
fn set(machine: &mut Machine<'_>, iterator: u64, words: &[u64]) -> Result<(), Fault> {
    let at = (0..).map(|word| iterator.wrapping_add(8 * word));
    at.zip(words).try_for_each(|(at, &word)| machine.memory.write::<8>(at, word))
}

/// Where an iterator over bits keeps how many there are, and the last one it gave.
const BITS: u64 = 8;
const BIT: u64 = 12;

fn bits_new(machine: &mut Machine<'_>, iterator: u64, words: u64, count: u32) -> HelperResult {
    set(machine, iterator, &[0, 0])?;
    set_int(machine, iterator.wrapping_add(BIT), -1)?;
    if words == 0 || count == 0 {
        return fail(EINVAL);
    }
    if count > MAX_WORDS {
        return fail(E2BIG);
    }
    let mut bytes = vec![0; 8 * count as usize];
    if !machine.read_kernel(words, &mut bytes) {
        return fail(EFAULT);
    }
    let held = match <[u8; 8]>::try_from(&bytes[..]) {
        Ok(word) => u64::from_le_bytes(word),
        Err(_) => match machine.memory.add_object(&bytes) {
            Some(copy) => copy,
            None => return fail(ENOMEM),
        },
    };
    machine.memory.write::<8>(iterator, held)?;
    set_int(machine, iterator.wrapping_add(BITS), (count * WORD) as i32)?;
    Ok(0)
}

fn bits_next(machine: &mut Machine<'_>, iterator: u64) -> HelperResult {
    let (place, held) = (iterator.wrapping_add(BIT), machine.memory.read::<8>(iterator)?);
    let bits = int(machine, iterator.wrapping_add(BITS))?.clamp(0, (MAX_WORDS * WORD) as i32);
    let mut bit = int(machine, place)?.max(-1);
    if bits == 0 || bit >= bits {
        return Ok(0);
    }
    bit += 1;
    while bit < bits {
        let (word, within) = (bit as u32 / WORD, bit as u32 % WORD);
        let value = match bits as u32 {
            WORD => held,
            _ => machine.memory.read::<8>(held.wrapping_add(8 * u64::from(word)))?,
        };
        let rest = value >> within;
        if rest != 0 {
            bit += rest.trailing_zeros() as i32;
            break;
        }
        bit = ((word + 1) * WORD) as i32;
    }
    set_int(machine, place, bit)?;
    Ok(if bit < bits { place } else { 0 })
}

kfuncs! {
    pub(super) static KFUNCS;

    fn bpf_iter_num_new(machine, iterator, start, end) {
        let (start, end) = (start as i32, end as i32);
        let errno = match i64::from(end) - i64::from(start) {
            ..0 => EINVAL,
            0..=MAX_LOOPS => 0,
            _ => E2BIG,
        };
        // The one before the first.
        let (before, end) = if errno == 0 { (start.wrapping_sub(1), end) } else { (0, 0) };
        set_int(machine, iterator, before)?;
        set_int(machine, iterator.wrapping_add(4), end)?;
        fail(errno)
    }

    fn bpf_iter_num_next(machine, iterator) {
        let next = int(machine, iterator)?.wrapping_add(1);
        if next >= int(machine, iterator.wrapping_add(4))? {
            set(machine, iterator, &[0])?;
            return Ok(0);
        }
        set_int(machine, iterator, next)?;
        Ok(iterator)
    }

    fn bpf_iter_num_destroy(machine, iterator) {
        set(machine, iterator, &[0])?;
        Ok(0)
    }

    fn bpf_iter_bits_new(machine, iterator, words, count) {
        bits_new(machine, iterator, words, count as u32)
    }

    fn bpf_iter_bits_next(machine, iterator) {
        bits_next(machine, iterator)
    }

    fn bpf_iter_bits_destroy(machine, iterator) {
        if int(machine, iterator.wrapping_add(BITS))? > WORD as i32 {
            let copy = machine.memory.read::<8>(iterator)?;
            machine.memory.drop_object(copy);
        }
        Ok(0)
    }

    // The host describes one task, which is a process with one thread.
    fn bpf_iter_task_new(machine, iterator, task, flags) {
        const PROCESS_THREADS: u64 = 2;
        set(machine, iterator, &[0, 0, 0])?;
        let flags = u64::from(flags as u32);
        if flags > PROCESS_THREADS || (flags == PROCESS_THREADS && task == 0) {
            return fail(EINVAL);
        }
        let own = machine.host().task().address;
        if flags != PROCESS_THREADS || task == own {
            set(machine, iterator, &[own])?;
        }
        Ok(0)
    }

    fn bpf_iter_task_next(machine, iterator) {
        take(machine, iterator)
    }

    fn bpf_iter_task_destroy(machine, iterator) {
        take(machine, iterator)
    }

    fn bpf_iter_css_task_new(machine, iterator, group, _flags) {
        let task = machine.host().task();
        let is_in = machine.cgroup_of(group).is_some_and(|id| task.cgroups.last() == Some(&id));
        set(machine, iterator, &[if is_in { task.address } else { 0 }])?;
        Ok(0)
    }

    fn bpf_iter_css_task_next(machine, iterator) {
        take(machine, iterator)
    }

    fn bpf_iter_css_task_destroy(machine, iterator) {
        take(machine, iterator)
    }

    // Of control groups the host describes those above the task's.
    fn bpf_iter_css_new(machine, iterator, start, order) {
        const UP: u64 = 4;
        set(machine, iterator, &[0, 0, 0])?;
        match u64::from(order as u32) {
            order @ 2..=UP => set(machine, iterator, &[start, order])?,
            _ => return fail(EINVAL),
        }
        Ok(0)
    }

    fn bpf_iter_css_next(machine, iterator) {
        const UP: u64 = 4;
        let group = machine.memory.read::<8>(iterator)?;
        let order = machine.memory.read::<8>(iterator.wrapping_add(8))?;
        let above = if order == UP { machine.cgroup_above(group) } else { None };
        set(machine, iterator, &[above.unwrap_or(0)])?;
        Ok(group)
    }

    fn bpf_iter_css_destroy(_machine, _iterator) {
        Ok(0)
    }

    // The host describes no areas, caches or buffers.
    fn bpf_iter_task_vma_new(machine, iterator, _task, _address) {
        set(machine, iterator, &[0])?;
        fail(ENOENT)
    }

    fn bpf_iter_task_vma_next(_machine, _iterator) {
        Ok(0)
    }

    fn bpf_iter_task_vma_destroy(_machine, _iterator) {
        Ok(0)
    }

    fn bpf_iter_kmem_cache_new(machine, iterator) {
        set(machine, iterator, &[0])?;
        Ok(0)
    }

    fn bpf_iter_kmem_cache_next(_machine, _iterator) {
        Ok(0)
    }

    fn bpf_iter_kmem_cache_destroy(_machine, _iterator) {
        Ok(0)
    }

    fn bpf_iter_dmabuf_new(machine, iterator) {
        set(machine, iterator, &[0])?;
        Ok(0)
    }

    fn bpf_iter_dmabuf_next(_machine, _iterator) {
        Ok(0)
    }

    fn bpf_iter_dmabuf_destroy(_machine, _iterator) {
        Ok(0)
    }
}

/// Gives what an iterator holds, once.
fn take(machine: &mut Machine<'_>, iterator: u64) -> HelperResult {
    let held = machine.memory.read::<8>(iterator)?;
    machine.memory.write::<8>(iterator, 0)?;
    Ok(held)
}
