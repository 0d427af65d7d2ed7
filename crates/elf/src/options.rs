//! What an object is loaded for: a kernel's types, configuration and symbols, the number of processors, a name.

use std::fmt;
use std::sync::Arc;

use crate::{Btf, Object, ObjectError};

/// Answers the address of a kernel symbol.
type Symbols = Arc<dyn Fn(&str) -> Option<u64> + Send + Sync>;

/// What an object is loaded for. Everything has a default: nothing is asked of a kernel that nobody named.
///
/// ```
/// use sandbpf_elf::Options;
/// # let file = include_bytes!("../tests/data/counter.o");
/// let object = Options::new().name("counter").processors(2).parse(file)?;
/// let data = object.maps().iter().find(|map| map.section == ".bss").unwrap();
/// assert_eq!(data.name, "counter.bss");
/// # Ok::<(), sandbpf_elf::ObjectError>(())
/// ```
#[derive(Clone)]
pub struct Options {
    pub(crate) name: String,
    pub(crate) target: Option<Arc<Btf>>,
    pub(crate) core_target: Option<Arc<Btf>>,
    pub(crate) kconfig: String,
    pub(crate) kernel_version: u32,
    pub(crate) syscall_wrapper: bool,
    pub(crate) processors: Option<u32>,
    pub(crate) kernel_symbols: Option<Symbols>,
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options")
            .field("name", &self.name)
            .field("target", &self.target)
            .finish_non_exhaustive()
    }
}

impl Default for Options {
    fn default() -> Self {
        Self::new()
    }
}

impl Options {
    /// No kernel: Linux 6.18 by version, without types, configuration or symbols.
    pub fn new() -> Self {
        Self {
            name: String::new(),
            target: None,
            core_target: None,
            kconfig: String::new(),
            kernel_version: 0x06_12_00,
            syscall_wrapper: true,
            processors: None,
            kernel_symbols: None,
        }
    }

    /// The object's name: maps of global data begin with it. Loaders take the file's name up to the first dot.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = name.into();
        self
    }

    /// The kernel's types (`/sys/kernel/btf/vmlinux`) that instructions are adapted to.
    ///
    /// Without them CO-RE relocations leave instructions as the compiler wrote them, and functions of the kernel
    /// have no number.
    pub fn target(mut self, types: Arc<Btf>) -> Self {
        self.target = Some(types);
        self
    }

    /// Other types than the kernel's for CO-RE alone, as for a kernel that carries none.
    pub fn core_target(mut self, types: Arc<Btf>) -> Self {
        self.core_target = Some(types);
        self
    }

    /// The kernel's types as bytes.
    pub fn target_bytes(self, bytes: &[u8]) -> Result<Self, ObjectError> {
        Ok(self.target(Arc::new(Btf::parse(bytes)?)))
    }

    /// The kernel's configuration, as `/proc/config.gz` has it when it is unpacked: lines of `CONFIG_X=value`.
    pub fn kconfig(mut self, text: impl Into<String>) -> Self {
        self.kconfig = text.into();
        self
    }

    /// The kernel's version, what programs read as `LINUX_KERNEL_VERSION`.
    pub fn kernel_version(mut self, major: u8, minor: u8, patch: u8) -> Self {
        self.kernel_version = u32::from(major) << 16 | u32::from(minor) << 8 | u32::from(patch);
        self
    }

    /// Whether system calls take their arguments from saved registers, what programs read as
    /// `LINUX_HAS_SYSCALL_WRAPPER`. They do on x86-64 since 4.17; loaders find out by trying, and where probes are locked
    /// they find that they do not.
    pub fn syscall_wrapper(mut self, wrapped: bool) -> Self {
        self.syscall_wrapper = wrapped;
        self
    }

    /// How many processors there are: perf event arrays without a size get so many entries.
    pub fn processors(mut self, count: u32) -> Self {
        self.processors = Some(count);
        self
    }

    /// The addresses of the kernel's symbols (`/proc/kallsyms`).
    pub fn kernel_symbols(mut self, symbols: impl Fn(&str) -> Option<u64> + Send + Sync + 'static) -> Self {
        self.kernel_symbols = Some(Arc::new(symbols));
        self
    }

    /// Reads an object file.
    pub fn parse(self, bytes: &[u8]) -> Result<Object, ObjectError> {
        Object::with_options(bytes, self)
    }
}
