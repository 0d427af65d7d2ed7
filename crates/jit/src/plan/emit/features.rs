//! What the processor can do besides what every x86-64 can.

/// Sets of instructions that code may use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Features {
    /// `andn`.
    pub(crate) bmi1: bool,
    /// Shifts and rotations with three operands, `mulx`.
    pub(crate) bmi2: bool,
    /// Loads and stores that reverse bytes.
    pub(crate) movbe: bool,
    /// Vectors of 32 bytes with operations on numbers.
    pub(crate) avx2: bool,
    /// Vectors of 64 bytes, masks, and operations on bytes and words of them.
    pub(crate) avx512: bool,
}

impl Features {
    /// What every x86-64 has: none of these.
    pub(crate) const BASELINE: Features =
        Features { bmi1: false, bmi2: false, movbe: false, avx2: false, avx512: false };

    /// What this processor has.
    pub(crate) fn detect() -> Features {
        Features {
            bmi1: std::is_x86_feature_detected!("bmi1"),
            bmi2: std::is_x86_feature_detected!("bmi2"),
            movbe: std::is_x86_feature_detected!("movbe"),
            avx2: std::is_x86_feature_detected!("avx2"),
            avx512: std::is_x86_feature_detected!("avx512f")
                && std::is_x86_feature_detected!("avx512bw")
                && std::is_x86_feature_detected!("avx512vl"),
        }
    }
}
