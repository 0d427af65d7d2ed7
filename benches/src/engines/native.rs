//! The functions beside the programs.

use std::hint::black_box;

use crate::rounds::Subject;

/// A function on its memory.
#[derive(Debug)]
pub struct Native {
    function: fn(&mut [u8]) -> u64,
    memory: Vec<u8>,
}

impl Native {
    /// The function and what it works on.
    pub fn new(function: fn(&mut [u8]) -> u64, memory: Vec<u8>) -> Self {
        Native { function, memory }
    }
}

impl Subject for Native {
    fn batch(&mut self, count: u32) -> u64 {
        let mut result = 0;
        for _ in 0..count {
            result = black_box((black_box(self.function))(black_box(&mut self.memory)));
        }
        result
    }
}
