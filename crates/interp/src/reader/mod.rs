//! Filters: a packet and a context in, a number out.
//!
//! A classic filter loads from the packet, compares, and answers. That needs no machine: making one would take longer than
//! most filters run. A [`Reader`] is such a program as a graph of [nodes](node::Node), each of which does what a few
//! instructions do: most load something, keep some of its bits, and compare them, and many comparisons of one number
//! for equality are a search.
//!
//! ```text
//!   node   what a node is and does
//!   read   the nodes of a program, if it is of this kind
//! ```

mod node;
mod read;

#[cfg(test)]
mod tests;

use sandbpf_isa::Program;

use node::{Kind, Node, Way};

/// A program that only reads: a function of a packet and a context.
///
/// ```
/// // The EtherType, or 0 of what is too short to have one.
/// let program = sandbpf_isa::parse("r0 = *(u16 *)skb[12]\nexit")?;
/// let reader = sandbpf_interp::Reader::new(&program).expect("it only reads");
/// let frame = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 8, 0];
/// assert_eq!(reader.run(&frame, &[]), Some(0x0800));
/// assert_eq!(reader.run(&frame[..13], &[]), Some(0));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Reader {
    nodes: Box<[Node]>,
    answers: Box<[u32]>,
    /// What numbers are compared with, and where that leads: sorted within each search.
    searches: Box<[(u32, Way)]>,
    /// How many bytes of the context it reads.
    context: usize,
}

/// How many words of the stack there can be (`BPF_MEMWORDS`).
const WORDS: usize = 16;

impl Reader {
    /// The program as a reader, if it is one: if it has no loops and does nothing but what filters do that were
    /// classic ones.
    pub fn new(program: &Program) -> Option<Reader> {
        read::read(program)
    }

    /// How many bytes of the context it reads.
    #[inline]
    pub fn context(&self) -> usize {
        self.context
    }

    /// What the program answers on this packet and context; `None` if it cannot tell by itself (the context is shorter than
    /// [`Reader::context`], or a load addresses a header), and must be run in another way.
    #[inline]
    pub fn run(&self, packet: &[u8], context: &[u8]) -> Option<u64> {
        if context.len() < self.context {
            return None;
        }
        // The registers that filters have, and the one that keeps `a` meanwhile.
        let (mut a, mut x, mut kept) = (0_u32, 0_u32, 0_u32);
        let mut words = [0_u32; WORDS];
        let mut at = 0;
        loop {
            let node = self.nodes.get(at)?;
            // Loads beyond the end of the packet answer 0.
            macro_rules! load {
                (byte $off:expr) => {
                    match packet.get($off as usize) {
                        Some(&byte) => u32::from(byte),
                        None => return Some(0),
                    }
                };
                (half $off:expr) => {{
                    let off = $off as usize;
                    match packet.get(off..off + 2).and_then(|bytes| bytes.first_chunk()) {
                        Some(&chunk) => u32::from(u16::from_be_bytes(chunk)),
                        None => return Some(0),
                    }
                }};
                (word $off:expr) => {{
                    let off = $off as usize;
                    match packet.get(off..off + 4).and_then(|bytes| bytes.first_chunk()) {
                        Some(&chunk) => u32::from_be_bytes(chunk),
                        None => return Some(0),
                    }
                }};
            }
            macro_rules! index {
                () => {{
                    let off = node.off.wrapping_add(x);
                    if (off as i32) < 0 {
                        // A header, perhaps.
                        return None;
                    }
                    off
                }};
            }
            macro_rules! source {
                (Byte) => {
                    load!(byte node.off)
                };
                (Half) => {
                    load!(half node.off)
                };
                (Word) => {
                    load!(word node.off)
                };
                (ByteAt) => {
                    load!(byte index!())
                };
                (HalfAt) => {
                    load!(half index!())
                };
                (WordAt) => {
                    load!(word index!())
                };
                (Context) => {{
                    let &chunk = context.get(node.off as usize..)?.first_chunk()?;
                    u32::from_le_bytes(chunk)
                }};
            }
            macro_rules! way {
                ($holds:expr) => {
                    if $holds { node.yes } else { node.no }
                };
            }
            macro_rules! arms {
                ($($Source:ident: $Load:ident $Eq:ident $Gt:ident $Ge:ident $Set:ident;)*) => {
                    match node.kind {
                        $(
                            Kind::$Load => {
                                a = source!($Source) & node.mask;
                                node.yes
                            }
                            Kind::$Eq => {
                                a = source!($Source) & node.mask;
                                way!(a == node.value)
                            }
                            Kind::$Gt => {
                                a = source!($Source) & node.mask;
                                way!(a > node.value)
                            }
                            Kind::$Ge => {
                                a = source!($Source) & node.mask;
                                way!(a >= node.value)
                            }
                            Kind::$Set => {
                                a = source!($Source) & node.mask;
                                way!(a & node.value != 0)
                            }
                        )*
                        Kind::IsEq => way!(a == node.value),
                        Kind::IsGt => way!(a > node.value),
                        Kind::IsGe => way!(a >= node.value),
                        Kind::IsSet => way!(a & node.value != 0),
                        Kind::EqX => way!(a == x),
                        Kind::GtX => way!(a > x),
                        Kind::GeX => way!(a >= x),
                        Kind::SetX => way!(a & x != 0),
                        Kind::XIsEq => way!(x == node.value),
                        Kind::XIsGt => way!(x > node.value),
                        Kind::XIsGe => way!(x >= node.value),
                        Kind::Search => {
                            let cases = self.searches.get(node.off as usize..node.value as usize)?;
                            match cases.binary_search_by_key(&a, |&(value, _)| value) {
                                Ok(found) => cases.get(found)?.1,
                                Err(_) => node.no,
                            }
                        }
                        Kind::HeaderLength => {
                            a = (load!(byte node.off) & node.mask) << 2;
                            x = a;
                            node.yes
                        }
                        Kind::HeaderLengthKeeping => {
                            kept = a;
                            x = (load!(byte node.off) & node.mask) << 2;
                            node.yes
                        }
                        Kind::Alu => {
                            a = node.op.eval32(a, node.value);
                            node.yes
                        }
                        Kind::AluX => {
                            a = node.op.eval32(a, x);
                            node.yes
                        }
                        Kind::Negate => {
                            a = a.wrapping_neg();
                            node.yes
                        }
                        Kind::NetworkOrder => {
                            a = u32::from((a as u16).swap_bytes());
                            node.yes
                        }
                        Kind::SetXTo => {
                            x = node.value;
                            node.yes
                        }
                        Kind::ToX => {
                            x = a;
                            node.yes
                        }
                        Kind::FromX => {
                            a = x;
                            node.yes
                        }
                        Kind::Keep => {
                            kept = a;
                            node.yes
                        }
                        Kind::Restore => {
                            a = kept;
                            node.yes
                        }
                        Kind::ContextToX => {
                            x = source!(Context);
                            node.yes
                        }
                        Kind::WordToA => {
                            a = *words.get(node.off as usize)?;
                            node.yes
                        }
                        Kind::WordToX => {
                            x = *words.get(node.off as usize)?;
                            node.yes
                        }
                        Kind::AToWord => {
                            *words.get_mut(node.off as usize)? = a;
                            node.yes
                        }
                        Kind::XToWord => {
                            *words.get_mut(node.off as usize)? = x;
                            node.yes
                        }
                        Kind::Return => return Some(a.into()),
                    }
                };
            }
            match node::for_each_source!(arms).split() {
                Ok(next) => at = next,
                Err(answer) => return self.answers.get(answer).map(|&answer| answer.into()),
            }
        }
    }
}
