//! Wide immediates: numbers, maps, addresses in maps, variables of the kernel, functions (`check_ld_imm`).

use sandbpf_isa::{Imm64, MapRef, Pc, Reg as R};

use crate::environment::{TypeRef, map_type};
use crate::error::{Check, refuse};
use crate::explore::Verifier;
use crate::state::{Flags, Kind, Reg};
use crate::types::Variable;

impl Verifier<'_> {
    pub(super) fn check_load_imm(&mut self, dst: R, value: Imm64) -> Check {
        self.writable(dst)?;
        let loaded = match value {
            Imm64::Number(number) => self.constant(number),
            Imm64::Map(map) => Reg::pointer(Kind::Map(self.map(map)?), Flags::NONE),
            Imm64::MapValue(map, offset) => {
                let map = self.map(map)?;
                if self.env.maps[usize::from(map)].map_type == map_type::ARENA {
                    Reg { kind: Kind::Arena, ..self.unknown() }
                } else {
                    Reg { off: offset as i32, ..Reg::pointer(Kind::MapValue(map), Flags::NONE) }
                }
            }
            Imm64::Function(entry) => self.function_pointer(entry)?,
            Imm64::Variable { id, module } => self.variable(id, module)?,
        };
        self.set(dst, loaded);
        Ok(())
    }

    fn map(&self, map: MapRef) -> Check<u16> {
        match (self.env.map_of)(map).and_then(|at| u16::try_from(at).ok()) {
            Some(at) => Ok(at),
            None => refuse!(BadF, "fd is not pointing to valid bpf_map"),
        }
    }

    fn function_pointer(&mut self, entry: Pc) -> Check<Reg> {
        let Some(function) = self.function_at(entry) else {
            refuse!(Fault, "verifier bug. No program starts at insn {}", self.slot(entry));
        };
        let signature = self.signature(entry);
        if signature.is_none() {
            refuse!(Inval, "missing btf func_info");
        }
        if self.known.global[function as usize] {
            refuse!(Inval, "callback function not static");
        }
        Ok(Reg::pointer(Kind::Func(function), Flags::NONE))
    }

    fn variable(&mut self, id: i32, module: i32) -> Check<Reg> {
        let Some(types) = self.env.types else {
            refuse!(
                Inval,
                "kernel is missing BTF, make sure CONFIG_DEBUG_INFO_BTF=y is specified in Kconfig."
            );
        };
        let of = TypeRef::kernel_or_module(id as u32, module);
        let Some(variable) = types.variable(of) else {
            refuse!(NoEnt, "ldimm64 insn specifies invalid btf_id {id}.");
        };
        Ok(match variable {
            Variable::Percpu(target) => Reg::pointer(Kind::Btf(target), Flags::PERCPU),
            Variable::Object(target) => Reg::pointer(Kind::Btf(target), Flags::NONE),
            Variable::Memory(size) => Reg::pointer(Kind::Mem(size), Flags::RDONLY),
            Variable::Function => Reg::pointer(Kind::Mem(0), Flags::RDONLY),
        })
    }
}
