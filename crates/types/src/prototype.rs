//! Functions by their types.

use sandbpf_elf::{Btf, Kind, Param};
use sandbpf_verifier::{Parameter, Pointee, Prototype, Shape, TypeRef};

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
        kind: btf.strip(param.ty).map_or("UNKNOWN", |(_, kind)| word(kind)),
        pointee: pointee(btf, of, param.ty),
    };
    Some(Prototype {
        name: String::new(),
        params: params.iter().map(param).collect(),
        result: shape(btf, of, *returns),
    })
}

/// What a parameter points to.
fn pointee(btf: &Btf, of: TypeRef, param: u32) -> Option<Pointee> {
    let (_, Kind::Ptr(to)) = btf.strip(param)? else { return None };
    let mut declared = *to;
    while let Some(kind) = btf.kind(declared)
        && !matches!(kind, Kind::Typedef(_))
        && let Some(behind) = kind.behind()
    {
        declared = behind;
    }
    let alias = matches!(btf.kind(declared), Some(Kind::Typedef(_))).then(|| btf.name(declared).to_owned());
    let (id, kind) = btf.strip(*to)?;
    let is_sized =
        !matches!(kind, Kind::Void | Kind::Fwd { .. } | Kind::Func { .. } | Kind::FuncProto { .. });
    let size = btf.size_of(id).and_then(|size| size.try_into().ok()).filter(|_| is_sized);
    Some(Pointee { of: TypeRef { id, ..of }, kind: word(kind), name: btf.name(id).to_owned(), alias, size })
}

/// What the kernel's messages call a kind (`btf_type_str`).
fn word(kind: &Kind) -> &'static str {
    match kind {
        Kind::Void => "UNKNOWN",
        Kind::Int(_) => "INT",
        Kind::Ptr(_) => "PTR",
        Kind::Array(_) => "ARRAY",
        Kind::Struct(_) => "STRUCT",
        Kind::Union(_) => "UNION",
        Kind::Enum(_) => "ENUM",
        Kind::Fwd { .. } => "FWD",
        Kind::Typedef(_) => "TYPEDEF",
        Kind::Volatile(_) => "VOLATILE",
        Kind::Const(_) => "CONST",
        Kind::Restrict(_) => "RESTRICT",
        Kind::Func { .. } => "FUNC",
        Kind::FuncProto { .. } => "FUNC_PROTO",
        Kind::Var { .. } => "VAR",
        Kind::DataSec { .. } => "DATASEC",
        Kind::Float(_) => "FLOAT",
        Kind::DeclTag { .. } => "DECL_TAG",
        Kind::TypeTag(_) => "TYPE_TAG",
        Kind::Enum64(_) => "ENUM64",
        _ => "UNKNOWN",
    }
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
