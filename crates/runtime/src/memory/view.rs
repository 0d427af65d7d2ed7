//! Memory as machine code sees it: for every region, where its bytes are and how many.
//!
//! A view is pointers and lengths taken from a [`Memory`]; making one is safe, following its
//! pointers is the business of the code that does (`sandbpf-jit`).

use super::{Memory, Region};
use crate::address::{BUFFER, CONTEXT, OBJECTS, PACKET, REGION_BITS, STACK};

/// How many regions a view has. Region `i` starts at guest address `i << REGION_BITS`; higher
/// addresses have none.
pub const REGIONS: usize = 8;

/// Where the bytes of one region are.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct RegionView {
    /// The host address of its first byte.
    pub start: *mut u8,
    /// How many bytes may be read.
    pub readable: u32,
    /// How many bytes may be written.
    pub writable: u32,
}

impl RegionView {
    /// No bytes.
    pub const ABSENT: RegionView = RegionView { start: core::ptr::null_mut(), readable: 0, writable: 0 };
}

/// The regions by number.
pub type View = [RegionView; REGIONS];

impl Memory<'_> {
    /// Where every region's bytes are. The pointers hold as long as this memory is borrowed and
    /// nobody calls a method that changes its regions.
    pub fn view(&mut self) -> View {
        let mut view = [RegionView::ABSENT; REGIONS];
        self.view_into(&mut view);
        view
    }

    /// The same, field by field into its place: a copy of a view that was just made would wait for its parts.
    #[inline(always)]
    pub fn view_into(&mut self, view: &mut View) {
        let active = self.active_stack() as u32;
        let mut put = |address: u64, region: RegionView| view[(address >> REGION_BITS) as usize] = region;
        let [_, context, stack, packet, buffer] = &mut self.near;
        put(CONTEXT, context.region.view());
        put(PACKET, packet.region.view());
        put(BUFFER, buffer.region.view());
        // Programs read what helpers hand out.
        if let Some(objects) = self.objects.as_deref_mut() {
            let readable = objects.len() as u32;
            put(OBJECTS, RegionView { start: objects.as_mut_ptr(), readable, writable: 0 });
        }
        put(STACK, RegionView { readable: active, writable: active, ..stack.region.view() });
    }
}

impl Region<'_> {
    #[inline(always)]
    fn view(&mut self) -> RegionView {
        // A region has at most 2^28 bytes: `Memory` refuses more.
        let len = self.len() as u32;
        match self {
            Region::Absent => RegionView::ABSENT,
            Region::Read(bytes) => {
                RegionView { start: bytes.as_ptr().cast_mut(), readable: len, writable: 0 }
            }
            Region::Write(bytes) => RegionView { start: bytes.as_mut_ptr(), readable: len, writable: len },
            Region::Shared(bytes) => RegionView { start: bytes.as_ptr(), readable: len, writable: len },
            Region::Frame(frame) => {
                RegionView { start: frame.visible_mut().as_mut_ptr(), readable: len, writable: len }
            }
        }
    }
}
