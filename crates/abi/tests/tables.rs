//! Laws of the tables.

use sandbpf_abi::{
    Access, ArgSpec, AttachType, Direction, HelperSpec, Layout, Program, ProgramType, SkBuff, Value, helpers,
    pointers,
};

/// Programs of every type, wherever they may be attached, of every kind.
fn programs() -> impl Iterator<Item = Program<'static>> {
    let targets = ["", "bpf_iter_tcp", "tcp_congestion_ops.init", "sock_graft"];
    ProgramType::ALL.iter().flat_map(move |&of| {
        let attached = AttachType::ALL.iter().filter(move |&&at| of.attached(at).is_some());
        attached.flat_map(move |&at| {
            targets.into_iter().flat_map(move |target| {
                [false, true].into_iter().filter(move |&sleeps| of.takes_sleepable(at, sleeps)).map(
                    move |sleeps| {
                        let mut program = Program::new(of).attached(at).targeting(target).sleeping(sleeps);
                        program.powers.override_return = true;
                        program.powers.probe_write_user = true;
                        program
                    },
                )
            })
        })
    })
}

#[test]
fn every_number_has_a_row_and_one_name() {
    for id in 1..=helpers::LAST {
        let names: Vec<&str> = helpers::numbered(id).map(|helper| helper.name).collect();
        assert!(!names.is_empty(), "{id}");
        assert!(names.iter().all(|name| *name == names[0]), "{id}: {names:?}");
    }
    assert!(helpers::all().all(|helper| (1..=helpers::LAST).contains(&helper.id)));
}

#[test]
fn every_row_is_given_to_somebody() {
    let mut orphans: Vec<&HelperSpec> = helpers::all().collect();
    for program in programs() {
        orphans.retain(|row| program.helper(row.id) != Ok(row));
    }
    assert!(orphans.is_empty(), "{orphans:#?}");
}

#[test]
fn signatures_are_well_formed() {
    for helper in helpers::all() {
        assert!(helper.args.len() <= 5, "{helper}");
        assert_eq!(helper.args.len(), helper.params.len(), "{helper}");
        for (at, arg) in helper.args.iter().enumerate() {
            let next = helper.args.get(at + 1);
            let sized = matches!(next, Some(ArgSpec::MemLen | ArgSpec::MemLenOrZero));
            assert_eq!(arg.is_sized_by_next(), sized, "{helper}");
        }
        assert!(helper.doc.ends_with('.'), "{helper}");
    }
}

#[test]
fn who_takes_a_function_says_what_it_is_called_with() {
    for helper in helpers::all() {
        let callback = sandbpf_abi::callback(helper);
        assert_eq!(callback.is_some(), helper.args.contains(&ArgSpec::Callback), "{helper}");
        for arg in callback.iter().flat_map(|callback| callback.args) {
            // What is handed on must be a pointer to the stack, or the object itself.
            if let sandbpf_abi::CallbackArg::Argument(at) = *arg {
                assert!(matches!(helper.args[at], ArgSpec::StackOrNull | ArgSpec::Btf(_)), "{helper}");
            }
        }
    }
}

#[test]
fn without_a_license_only_what_says_so_is_lost() {
    use sandbpf_abi::Effect;
    for program in programs().filter(|program| !program.program_type.row().needs_gpl) {
        for id in 0..=helpers::LAST + 1 {
            match (program.helper(id), program.licensed(false).helper(id)) {
                (Ok(with), Ok(without)) => assert!(with == without && !with.has(Effect::GplOnly)),
                (Ok(with), Err(_)) => assert!(with.has(Effect::GplOnly), "{with}"),
                (Err(one), Err(other)) => assert_eq!(one, other),
                (Err(_), Ok(helper)) => panic!("{helper}"),
            }
        }
    }
}

/// What every access that is allowed has in common, for every kind of program, at every offset.
#[test]
fn accesses_are_aligned_and_inside_and_pointers_are_whole() {
    for program in programs().filter(|program| program.target.is_empty()) {
        let Some(view) = program.view() else { continue };
        for direction in [Direction::Read, Direction::Write] {
            for size in [0, 1, 2, 3, 4, 8, 16] {
                for offset in -16..300 {
                    let Ok(access) = program.access(offset, size, direction) else { continue };
                    let field = access.field.expect("a struct has fields");
                    assert!(
                        matches!(size, 1 | 2 | 4 | 8) && offset >= 0 && (offset as u32).is_multiple_of(size)
                    );
                    assert_eq!(field.offset as u32 + access.within, offset as u32);
                    assert!((offset as u32 + size) as usize <= view.layout.size);
                    assert!(view.allows(field, direction));
                    let whole = access.within == 0 && size as usize == field.size;
                    assert_eq!(access.value.is_pointer(), whole && field.value.is_pointer());
                    assert!(direction == Direction::Read || !field.value.is_pointer());
                }
            }
        }
    }
}

#[test]
fn extreme_accesses_are_refused_without_a_panic() {
    for program in programs() {
        for offset in [i32::MIN, i32::MIN + 1, -1 << 20, i32::MAX - 7, i32::MAX] {
            for size in [0, 1, 2, 3, 4, 7, 8, 9, u32::MAX] {
                for direction in [Direction::Read, Direction::Write] {
                    let _ = program.access(offset, size, direction);
                    let _ = pointers::SOCKET.access(offset, size, direction);
                    assert!(pointers::flow_keys(offset, size, direction).is_err());
                }
            }
        }
    }
}

/// The kernel's own sizes (`sizeof` in `linux/bpf.h`).
#[test]
fn structs_have_the_kernels_sizes() {
    let size = |layout: &Layout| (layout.name, layout.size);
    let layouts = [
        SkBuff::LAYOUT,
        sandbpf_abi::XdpMd::LAYOUT,
        sandbpf_abi::Sock::LAYOUT,
        sandbpf_abi::TcpSock::LAYOUT,
        sandbpf_abi::SockAddr::LAYOUT,
        sandbpf_abi::SockOps::LAYOUT,
        sandbpf_abi::Sockopt::LAYOUT,
        sandbpf_abi::SkMsg::LAYOUT,
        sandbpf_abi::SkLookup::LAYOUT,
        sandbpf_abi::SkReuseport::LAYOUT,
        sandbpf_abi::FlowKeys::LAYOUT,
        sandbpf_abi::Registers::LAYOUT,
        sandbpf_abi::PerfEventData::LAYOUT,
    ];
    assert_eq!(
        layouts.map(size),
        [
            ("__sk_buff", 192),
            ("xdp_md", 24),
            ("bpf_sock", 80),
            ("bpf_tcp_sock", 112),
            ("bpf_sock_addr", 72),
            ("bpf_sock_ops", 224),
            ("bpf_sockopt", 40),
            ("sk_msg_md", 80),
            ("bpf_sk_lookup", 72),
            ("sk_reuseport_md", 56),
            ("bpf_flow_keys", 56),
            ("pt_regs", 168),
            ("bpf_perf_event_data", 184),
        ]
    );
}

/// What Linux 6.18 answered, in the places where a rule has an edge.
#[test]
fn edges_are_where_linux_has_them() {
    use ProgramType as T;
    let read = |of, at, offset, size| {
        Program::new(of).attached(at).access(offset, size, Direction::Read).map(|access| access.value).ok()
    };
    let none = AttachType(0);
    let number = Some(Value::Scalar);
    // A port of two bytes in a place for four.
    let bound = AttachType::CGROUP_INET4_POST_BIND;
    assert_eq!([48, 49, 50].map(|offset| read(T::CgroupSock, bound, offset, 1)), [number, number, None]);
    assert_eq!([48, 50].map(|offset| read(T::CgroupSock, bound, offset, 2)), [number, None]);
    assert_eq!(read(T::CgroupSock, bound, 48, 4), number);
    // Eight bytes of an address, aligned in the struct and not in the field.
    let send = AttachType::CGROUP_UDP6_SENDMSG;
    assert_eq!([44, 48, 56].map(|offset| read(T::CgroupSockAddr, send, offset, 8)), [None, number, None]);
    // The record of a tracepoint starts behind its first word; offsets below zero pass for large ones.
    assert_eq!(
        [-8, 0, 8, 8184, 8192].map(|offset| read(T::Tracepoint, none, offset, 8)),
        [number, None, number, number, None]
    );
    // A buffer is loaded whole; what starts inside of it is a number.
    let buffer = Some(Value::TracepointBuffer);
    assert_eq!(
        [(0, 8), (0, 4), (4, 4), (1, 1)]
            .map(|(offset, size)| { read(T::RawTracepointWritable, none, offset, size) }),
        [buffer, None, number, number]
    );
    // Only a device map knows where a frame goes.
    assert_eq!(read(T::Xdp, none, 20, 4), None);
    assert_eq!(read(T::Xdp, AttachType::XDP_DEVMAP, 20, 4), number);
    // The field behind the kernel's struct is ours.
    assert_eq!(read(T::SchedCls, none, SkBuff::HATYPE as i32, 4), None);
}

#[test]
fn access_speaks_in_bytes() {
    assert_eq!(Access::NARROW.to_string(), "1, 2, 4");
    assert_eq!(Access::FIRST_FOUR.to_string(), "4 at its start");
    let error = Program::new(ProgramType::Xdp).access(0, 8, Direction::Read).unwrap_err();
    assert_eq!(error.to_string(), "data is accessed by 4 bytes");
    let error = Program::new(ProgramType::Xdp).access(0, 4, Direction::Write).unwrap_err();
    assert_eq!(error.to_string(), "programs of this kind may not write data");
}
