//! Functions by their types.

use sandbpf_elf::{Btf, Kind, Param};
use sandbpf_verifier::{Parameter, Prototype, Shape, TypeRef};

use crate::walk::is_scalar_struct;

/// The prototype of a `BTF_KIND_FUNC`.
pub(crate) fn of_function(btf: &Btf, of: TypeRef) -> Option<Prototype> {
    let Kind::Func { proto, .. } = btf.kind(of.id)? else { return None };
    let mut prototype = of_proto(btf, of, *proto)?;
    prototype.name = btf.name(of.id).to_owned();
    // What the declaration's tags say of its parameters.
    for (id, tag) in btf.iter() {
        let Kind::DeclTag { ty, component } = tag.kind else { continue };
        if ty != of.id || component < 0 {
            continue;
        }
        let text = btf.name(id).strip_prefix("arg:");
        if let (Some(text), Some(param)) = (text, prototype.params.get_mut(component as usize)) {
            param.tags.push(text.to_owned());
        }
    }
    Some(prototype)
}

/// That of a `BTF_KIND_FUNC_PROTO`.
pub(crate) fn of_proto(btf: &Btf, of: TypeRef, proto: u32) -> Option<Prototype> {
    let (_, Kind::FuncProto { returns, params }) = btf.strip(proto)? else { return None };
    let param = |param: &Param| Parameter {
        name: btf.param_name(param).to_owned(),
        shape: shape(btf, of, param.ty),
        tags: Vec::new(),
    };
    Some(Prototype {
        name: String::new(),
        params: params.iter().map(param).collect(),
        result: shape(btf, of, *returns),
    })
}

/// A type as a parameter's.
pub(crate) fn shape(btf: &Btf, of: TypeRef, id: u32) -> Shape {
    if id == 0 {
        return Shape::Void;
    }
    let Some((stripped, kind)) = btf.strip(id) else { return Shape::Other("nothing".into()) };
    match kind {
        Kind::Void => Shape::Void,
        Kind::Int(int) => Shape::Number { size: int.size, boolean: int.boolean() },
        Kind::Enum(values) | Kind::Enum64(values) => Shape::Number { size: values.size, boolean: false },
        Kind::Ptr(to) => pointer(btf, of, *to),
        _ => Shape::Other(btf.name(stripped).to_owned()),
    }
}

fn pointer(btf: &Btf, of: TypeRef, to: u32) -> Shape {
    if to == 0 {
        return Shape::VoidPointer;
    }
    // `bpf_user_pt_regs_t *` is the context by its name.
    let own = btf.name(to);
    let Some((id, kind)) = btf.strip(to) else { return Shape::Other("nothing".into()) };
    match kind {
        Kind::Void => Shape::VoidPointer,
        Kind::Int(_) | Kind::Enum(_) | Kind::Enum64(_) => {
            Shape::NumberPointer { size: btf.size_of(id).unwrap_or(0) as u32 }
        }
        Kind::FuncProto { .. } => Shape::Function,
        Kind::Fwd { .. } => {
            let name = btf.name(id).to_owned();
            Shape::Struct { target: TypeRef { id, ..of }, name, size: 0, scalar_struct: false }
        }
        Kind::Array(_) => Shape::NumberPointer { size: btf.size_of(id).unwrap_or(0) as u32 },
        Kind::Ptr(_) => Shape::Other("PTR".into()),
        _ if kind.composite().is_some() => {
            let name = if own == "bpf_user_pt_regs_t" { own } else { btf.name(id) };
            Shape::Struct {
                target: TypeRef { id, ..of },
                name: name.to_owned(),
                size: btf.size_of(id).unwrap_or(0) as u32,
                scalar_struct: is_scalar_struct(btf, id, 0),
            }
        }
        _ => Shape::Other(btf.name(id).to_owned()),
    }
}
