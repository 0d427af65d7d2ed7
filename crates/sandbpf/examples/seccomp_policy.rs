//! What would this policy do? Tries a seccomp filter on system calls, without installing it.

use sandbpf::{Program, Seccomp, SyscallData};

const X86_64: u32 = 0xc000_003e;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let policy: Program<Seccomp> = "
            ld [4]                  ; the calling convention
            jne #0xc000003e, kill
            ld [0]                  ; the number
            jeq #59, deny           ; execve
            jeq #41, family         ; socket
            jmp allow
        family:
            ld [16]                 ; the first argument, its lower half
            jeq #16, deny, allow    ; AF_NETLINK
        deny:
            ret #0x50001            ; EPERM
        allow:
            ret #0x7fff0000
        kill:
            ret #0x80000000
    "
    .parse()?;

    let call =
        |nr, first| SyscallData { nr, arch: X86_64, args: [first, 0, 0, 0, 0, 0], ..SyscallData::default() };
    for (name, call) in [
        ("read", call(0, 0)),
        ("execve", call(59, 0)),
        ("socket(AF_INET)", call(41, 2)),
        ("socket(AF_NETLINK)", call(41, 16)),
        ("read, 32-bit", SyscallData { arch: 0x4000_0003, ..call(0, 0) }),
    ] {
        println!("{name:20} {:?}", policy.run(&call)?);
    }
    Ok(())
}
