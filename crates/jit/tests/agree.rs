//! Machine code does what the readable interpreter does, whatever the program: result or trap, registers, memory,
//! what is left of the budget.
#![cfg(all(target_arch = "x86_64", unix))]

mod common;

use proptest::prelude::*;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3000))]

    #[test]
    fn any_program(program in sandbpf_isa::arbitrary::program(), budget in 0u64..2000) {
        common::agree(program, 0..11, budget);
    }
}
