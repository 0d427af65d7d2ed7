//! What figures were measured on.

use std::fs;

/// The processor, the system and the compiler, in a line.
pub fn machine() -> String {
    let cpus = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = field(&cpus, "model name").unwrap_or(std::env::consts::ARCH);
    let count = cpus.lines().filter(|line| line.starts_with("processor")).count().max(1);
    let virtual_machine = if cpus.contains(" hypervisor") { ", a virtual machine" } else { "" };
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let system = match release.trim() {
        "" => std::env::consts::OS.to_string(),
        release => format!("Linux {release}"),
    };
    let processors = if count == 1 { "processor" } else { "processors" };
    format!("{count} {processors} ({model}){virtual_machine}, {system}, {}", env!("SANDBPF_RUSTC_VERSION"))
}

/// The value of a field's first line.
fn field<'t>(text: &'t str, name: &str) -> Option<&'t str> {
    let line = text.lines().find(|line| line.starts_with(name))?;
    line.split_once(':').map(|(_, value)| value.trim())
}
