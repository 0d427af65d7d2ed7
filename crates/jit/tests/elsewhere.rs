//! Plans find memory that is in none of their regions.
#![cfg(all(target_arch = "x86_64", unix))]

use std::sync::Arc;

use sandbpf_interp::Step;
use sandbpf_isa::parse;
use sandbpf_jit::{Input, PlanOptions, Running};
use sandbpf_runtime::helpers::HelperSet;
use sandbpf_runtime::memory::far::{Far, Piece};
use sandbpf_runtime::memory::{Region, Stack};
use sandbpf_runtime::{Execute, FrozenHost, Machine, address};

/// Bytes of a map, where a region could be that is not there.
#[derive(Debug)]
struct Among;

impl Far for Among {
    fn piece(&self, _address: u64) -> Option<Piece<'_>> {
        None
    }

    fn foreign(&self, address: u64, to: &mut [u8]) -> bool {
        to.fill(7);
        address == address::MAPS
    }
}

#[test]
fn memory_that_is_read_where_no_region_is() {
    let text = "r1 = 0x50000000 ll\nr0 = *(u16 *)(r1 + 0)\nif r2 == 0 goto +1\nr0 = *(u8 *)(r1 + 2)\nexit";
    let program = Arc::new(parse(text).expect("text"));
    let options = PlanOptions { elsewhere: true, ..PlanOptions::default() };
    let running = Running::compile(&program, Input::Memory, None, None, None, options).expect("a plan");
    for length in [0, 1] {
        let mut memory = vec![0; length];
        let results =
            [&Step::new(sandbpf_isa::Program::clone(&program)) as &dyn Execute, &running].map(|engine| {
                let (mut stack, helpers) = (Stack::default(), HelperSet::linux());
                let mut machine = Machine::new(&mut stack, &helpers, &FrozenHost, 1000);
                machine.memory.set_far(&Among);
                machine.memory.set_buffer(Region::Write(&mut memory)).expect("it fits");
                (machine.registers[1], machine.registers[2]) = (address::BUFFER, length as u64);
                engine.execute(&mut machine)
            });
        assert_eq!(results[0], results[1]);
        assert_eq!(results[0].is_ok(), length == 0);
    }
}
