//! Time goes by: callbacks of timers and work queues run when the embedder says what time it is.

use sandbpf_runtime::later::Waiting;
use sandbpf_runtime::{Trap, address};

use crate::Maps;
use crate::image::with_scratch;
use crate::maps::{Map, MapType};

pub use sandbpf_runtime::later::Kind as LaterKind;

/// A callback that ran.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fired {
    /// What it waited as.
    pub kind: LaterKind,
    /// The name of the map that the timer is in.
    pub map: String,
    /// The key of the value that it is in.
    pub key: Vec<u8>,
    /// When it was due: the time that the callback was told.
    pub time_ns: u64,
    /// What it returned, or why it stopped.
    pub result: Result<u64, Trap>,
}

/// How many callbacks run in one step of time; one that starts itself again at once would run for ever.
const MAX_CALLBACKS: usize = 1 << 16;

impl Maps {
    /// Lets time go by until `now`, in nanoseconds of the host's clock: runs the callbacks that are due by then, in the
    /// order in which they are due, and those that they start if they are due by then too. Each is told the time at which
    /// it was due.
    ///
    /// A callback runs in the program that started its timer, on its host and within its limits. Linux keeps such a
    /// program; here somebody must, or the callback does not run. A timer whose value was deleted, or written anew, does
    /// not fire. No more than 65,536 callbacks run in one call; those that are left run in the next.
    ///
    /// ```
    /// use sandbpf::maps::{MapSpec, MapType};
    /// use sandbpf::{Buffer, FrozenHost, Loader, Maps, Program};
    /// let maps = Maps::new();
    /// maps.create(MapSpec::new(MapType::Array, 4, 24, 1).with_name("timers"))?;
    /// // Starts a timer of 1 µs in the value of key 0; its callback counts in the value's last word, and starts it again.
    /// let program: Program<Buffer> = Loader::new().maps(&maps).host(FrozenHost).load(
    ///     "*(u32 *)(r10 - 4) = 0
    ///      r1 = map[fd:0]
    ///      r2 = r10
    ///      r2 += -4
    ///      call 1
    ///      if r0 == 0 goto end
    ///      r6 = r0
    ///      r1 = r6
    ///      r2 = map[fd:0]
    ///      r3 = 1
    ///      call 169
    ///      r1 = r6
    ///      r2 = subprog[later]
    ///      call 170
    ///      r1 = r6
    ///      r2 = 1000
    ///      r3 = 0
    ///      call 171
    ///      end: r0 = 0
    ///      exit
    ///      later: r1 = *(u64 *)(r3 + 16)
    ///      r1 += 1
    ///      *(u64 *)(r3 + 16) = r1
    ///      r1 = r3
    ///      r2 = 1000
    ///      r3 = 0
    ///      call 171
    ///      r0 = 0
    ///      exit",
    /// )?;
    /// program.run(&[])?;
    /// assert_eq!(maps.next_timer(), Some(1000));
    /// assert_eq!(maps.advance_time(999), []);
    /// let fired = maps.advance_time(2500);
    /// assert_eq!(fired.iter().map(|fired| fired.time_ns).collect::<Vec<_>>(), [1000, 2000]);
    /// assert_eq!(maps.next_timer(), Some(3000));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn advance_time(&self, now: u64) -> Vec<Fired> {
        let mut fired = Vec::new();
        while fired.len() < MAX_CALLBACKS
            && let Some(waiting) = self.world().later().take_due(now)
        {
            fired.extend(self.fire(&waiting));
        }
        fired
    }

    /// When the next callback is due, if one waits.
    pub fn next_timer(&self) -> Option<u64> {
        self.world().later().next_due()
    }

    /// Runs a callback, if its program and the value it waited in are still there.
    fn fire(&self, waiting: &Waiting) -> Option<Fired> {
        let image = self.image(waiting.code)?;
        let (number, place) = address::as_map_value(waiting.timer)?;
        let map = self.at(number)?;
        let (key, value) = element(map, place)?;
        let entry = address::as_function(waiting.function);
        let result = with_scratch(|scratch| {
            let mut machine = image.machine(&mut scratch.stack);
            machine.set_clock(waiting.due);
            machine.memory.set_objects(&mut scratch.objects);
            if !machine.begin_later(waiting) {
                return None;
            }
            machine.registers[1] = address::map(number);
            machine.registers[2] = machine.memory.add_object(&key)?;
            machine.registers[3] = address::map_value(number, value);
            let result = match entry {
                Some(entry) => image.code.call(&mut machine, entry),
                None => Err(Trap::BadCallTarget { pc: crate::Pc(0), address: waiting.function }),
            };
            machine.give_locks();
            Some(result)
        })?;
        let name = map.spec().name.clone();
        Some(Fired { kind: waiting.kind, map: name, key, time_ns: waiting.due, result })
    }
}

/// The element that a place among a map's values lies in: its key, and where its value is.
fn element(map: &Map, place: u64) -> Option<(Vec<u8>, u64)> {
    let size = u64::from(map.spec().value_size);
    let holds = |value: u64| place.checked_sub(value).is_some_and(|at| at < size);
    if map.map_type() != MapType::Array {
        return map.elements(0).find(|(_, value)| holds(*value));
    }
    // Values of arrays stand at equal distances.
    let at = |index: u32| map.lookup(&index.to_ne_bytes(), 0);
    let first = at(0)?;
    let stride = at(1).map_or(u64::MAX, |second| second.saturating_sub(first)).max(1);
    let index = u32::try_from(place.checked_sub(first)? / stride).ok()?;
    at(index).filter(|&value| holds(value)).map(|value| (index.to_ne_bytes().to_vec(), value))
}
