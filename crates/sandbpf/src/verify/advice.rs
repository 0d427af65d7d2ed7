//! What usually stands behind a rejection, and what usually mends it. The classes are the rows of `rejections.rs`.

use sandbpf_abi::ProgramType;
use sandbpf_verifier::{FieldKind, MapShape, SpecialField};

use super::rejections::ROWS;
use super::{Verifier, VerifyError};

/// A class of rejections.
///
/// ```
/// use sandbpf::{Verifier, abi::ProgramType};
/// let program = sandbpf::isa::parse("exit")?;
/// let error = Verifier::new(ProgramType::Xdp).verify(&program).unwrap_err();
/// assert_eq!(error.message(), "R0 !read_ok");
/// assert_eq!(error.advice().unwrap().title, "a register that was never written");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Advice {
    /// What it is about.
    pub title: &'static str,
    /// Pieces of the message, in their order.
    pub pieces: &'static [&'static str],
    /// Why the verifier does not accept it.
    pub why: &'static str,
    /// What usually mends it.
    pub mend: &'static str,
    /// A program that is rejected for it, and the same mended.
    pub example: Example,
}

/// A program that is rejected, and the same mended. Maps are those of [`Example::verifier`].
#[derive(Clone, Copy, Debug)]
pub struct Example {
    /// What the program is for.
    pub program_type: ProgramType,
    /// Its license.
    pub license: &'static str,
    /// What is rejected.
    pub wrong: &'static str,
    /// What is accepted.
    pub right: &'static str,
}

impl Example {
    /// What the examples are verified with: map 0 is a hash of 4-byte keys and 8-byte values, map 1 a ring buffer, map 2 an
    /// array whose 16-byte values begin with a spin lock, map 3 an array of 8-byte values that programs only read.
    pub fn verifier(&self) -> Verifier {
        let map = |name: &str, map_type, key_size, value_size, max_entries| MapShape {
            name: name.into(),
            map_type,
            key_size,
            value_size,
            max_entries,
            ..MapShape::default()
        };
        let lock = SpecialField { kind: FieldKind::SpinLock, offset: 0, size: 4 };
        let locked = MapShape { fields: vec![lock], has_btf: true, ..map("locked", 2, 4, 16, 1) };
        // `BPF_F_RDONLY_PROG`.
        let settings = MapShape { flags: 1 << 7, ..map("settings", 2, 4, 8, 1) };
        Verifier::new(self.program_type)
            .license(self.license)
            .shapes(vec![map("counts", 1, 4, 8, 16), map("events", 27, 0, 0, 4096), locked, settings], 4)
    }
}

impl VerifyError {
    /// What usually stands behind such a rejection.
    pub fn advice(&self) -> Option<&'static Advice> {
        ROWS.iter().find(|advice| advice.fits(self.message()))
    }
}

impl Advice {
    /// All of them: the more particular first.
    pub const ALL: &'static [Advice] = ROWS;

    /// Whether a message is of this class.
    pub fn fits(&self, message: &str) -> bool {
        let mut rest = message;
        self.pieces.iter().all(|piece| match rest.find(piece) {
            Some(at) => {
                rest = &rest[at + piece.len()..];
                true
            }
            None => false,
        })
    }
}
