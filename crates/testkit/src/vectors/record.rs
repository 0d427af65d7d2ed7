//! One record: a JSON object, and the questions that judges ask of its fields.

use std::borrow::Cow;
use std::io::Read;

use base64::Engine as _;
use sandbpf_classic::ClassicInsn;
use serde_json::Value;

use super::kind::Kind;

/// One line of a corpus.
#[derive(Clone, Debug)]
pub(crate) struct Record {
    value: Value,
    kind: Kind,
    name: String,
}

/// A record that lacks what its kind has.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Malformed {
    #[error("the record has no usable `{0}`")]
    Field(Cow<'static, str>),
    #[error("the {0} that the record names is not there")]
    Companion(&'static str),
}

impl Malformed {
    pub(crate) fn field(name: impl Into<Cow<'static, str>>) -> Self {
        Malformed::Field(name.into())
    }
}

/// A long repetition unpacks to no more than this.
const LONGEST_PROGRAM: usize = 1 << 24;

impl Record {
    pub(crate) fn new(value: Value) -> Self {
        let kind = Kind::of(&value);
        let name = name(&value);
        Record { value, kind, name }
    }

    pub(crate) fn kind(&self) -> Kind {
        self.kind
    }

    /// What to call it in reports.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// The whole object.
    pub(crate) fn value(&self) -> &Value {
        &self.value
    }

    pub(crate) fn has(&self, field: &str) -> bool {
        self.value.get(field).is_some_and(|value| !value.is_null())
    }

    pub(crate) fn str(&self, field: &'static str) -> Result<&str, Malformed> {
        self.value[field].as_str().ok_or(Malformed::field(field))
    }

    pub(crate) fn u64(&self, field: &'static str) -> Result<u64, Malformed> {
        self.value[field].as_u64().ok_or(Malformed::field(field))
    }

    pub(crate) fn array(&self, field: &'static str) -> Result<&[Value], Malformed> {
        self.value[field].as_array().map(Vec::as_slice).ok_or(Malformed::field(field))
    }

    /// Bytes in hexadecimal; none if the field is absent.
    pub(crate) fn bytes(&self, field: &'static str) -> Result<Vec<u8>, Malformed> {
        match &self.value[field] {
            Value::Null => Ok(Vec::new()),
            value => bytes(value).ok_or(Malformed::field(field)),
        }
    }

    /// The encoded program: hexadecimal in `insns`, or compressed in `insns_z`.
    pub(crate) fn code(&self) -> Result<Vec<u8>, Malformed> {
        if let Some(code) = bytes(&self.value["insns"]) {
            return Ok(code);
        }
        let unpack = || {
            let packed =
                base64::engine::general_purpose::STANDARD.decode(self.value["insns_z"].as_str()?).ok()?;
            let mut code = Vec::new();
            let stream = flate2::read::ZlibDecoder::new(&packed[..]);
            stream.take(LONGEST_PROGRAM as u64).read_to_end(&mut code).ok()?;
            Some(code)
        };
        unpack().ok_or(Malformed::field("insns"))
    }

    /// The classic program in `insns` or `insns_z`.
    pub(crate) fn classic_code(&self) -> Result<Vec<ClassicInsn>, Malformed> {
        sandbpf_classic::from_bytes(&self.code()?).map_err(|_| Malformed::field("insns"))
    }

    /// The classic program in this field: rows of four numbers, or `{repeat, n, then}`.
    pub(crate) fn classic(&self, field: &'static str) -> Result<Vec<ClassicInsn>, Malformed> {
        classic(&self.value[field]).ok_or(Malformed::field(field))
    }
}

/// Bytes in hexadecimal.
pub(crate) fn bytes(value: &Value) -> Option<Vec<u8>> {
    hex::decode(value.as_str()?).ok()
}

/// A number in hexadecimal, with or without `0x`.
pub(crate) fn hex64(value: &Value) -> Option<u64> {
    let text = value.as_str()?;
    u64::from_str_radix(text.strip_prefix("0x").unwrap_or(text), 16).ok()
}

/// A classic program: rows of four numbers, or `{repeat, n, then}`.
pub(crate) fn classic(value: &Value) -> Option<Vec<ClassicInsn>> {
    match value {
        Value::Array(rows) => rows.iter().map(classic_insn).collect(),
        Value::Object(object) => {
            let count = usize::try_from(object.get("n")?.as_u64()?).ok()?;
            if count > LONGEST_PROGRAM {
                return None;
            }
            let mut insns = vec![classic_insn(object.get("repeat")?)?; count];
            insns.extend(classic(object.get("then")?)?);
            Some(insns)
        }
        _ => None,
    }
}

fn classic_insn(row: &Value) -> Option<ClassicInsn> {
    let field = |at: usize| row.get(at)?.as_u64();
    Some(ClassicInsn {
        code: field(0)?.try_into().ok()?,
        jt: field(1)?.try_into().ok()?,
        jf: field(2)?.try_into().ok()?,
        k: field(3)?.try_into().ok()?,
    })
}

fn name(value: &Value) -> String {
    let text = |field: &str| value[field].as_str();
    let first = ["name", "id", "expr", "pcap", "src", "object"].iter().find_map(|field| text(field));
    let mut name = first.unwrap_or("a record without a name").to_owned();
    if value["id"].is_string() {
        for field in ["expr", "prog", "pcap"] {
            if let Some(more) = text(field) {
                name = format!("{name} {more}");
            }
        }
    }
    name
}
