//! Maps and what is kept in them: elements, storage, locks, timers, ring buffers, dynamic pointers.

use super::table;
use crate::helper::DynptrKind;

table! {
    /// Finds the value of a key; null when the map does not have it.
    MAP_LOOKUP_ELEM = 1 map_lookup_elem(map: Map, key: MapKey) -> MapValueOrNull, [PacketMemory];
    /// Stores a value under a key; `flags` says whether it must be new, must exist, or either.
    MAP_UPDATE_ELEM = 2 map_update_elem(map: Map, key: MapKey, value: MapValue, flags: Anything) -> Scalar, [PacketMemory];
    /// Takes a key and its value out.
    MAP_DELETE_ELEM = 3 map_delete_elem(map: Map, key: MapKey) -> Scalar, [PacketMemory];
    /// Continues in another program of a program array; returns only when there is none.
    TAIL_CALL = 12 tail_call(ctx: Context, prog_array_map: Map, index: Anything) -> Void, [ChangesForCallers];
    /// Puts the socket into a sockmap.
    SOCK_MAP_UPDATE = 53 sock_map_update(skops: Context, map: Map, key: MapKey, flags: Anything) -> Scalar, [PacketMemory];
    /// The storage that belongs to the cgroup and this program.
    GET_LOCAL_STORAGE = 81 get_local_storage(map: Map, flags: Anything) -> MapValue, [];
    /// Adds an element to a queue, stack or bloom filter.
    MAP_PUSH_ELEM = 87 map_push_elem(map: Map, value: MapValue, flags: Anything) -> Scalar, [PacketMemory];
    /// Takes an element off a queue or stack.
    MAP_POP_ELEM = 88 map_pop_elem(map: Map, value: NewMapValue) -> Scalar, [];
    /// Reads the next element of a queue or stack, or asks a bloom filter.
    MAP_PEEK_ELEM = 89 map_peek_elem(map: Map, value: NewMapValue) -> Scalar, [];
    /// Takes the lock in a map value.
    SPIN_LOCK = 93 spin_lock(lock: SpinLock) -> Void, [];
    /// Releases the lock in a map value.
    SPIN_UNLOCK = 94 spin_unlock(lock: SpinLock) -> Void, [];
    /// The storage that belongs to a socket, made when asked.
    SK_STORAGE_GET = 107 sk_storage_get(map: Map, sk: AnySock, value: MapValueOrNull, flags: Anything) -> MapValueOrNull, [];
    /// The storage that belongs to a socket, made when asked.
    SK_STORAGE_GET_CGROUP_SOCK = 107 sk_storage_get(map: Map, sk: Context, value: MapValueOrNull, flags: Anything) -> MapValueOrNull, [];
    /// The storage that belongs to a socket, made when asked.
    SK_STORAGE_GET_TRACING = 107 sk_storage_get(map: Map, sk: BtfOrNull("sock_common"), value: MapValueOrNull, flags: Anything) -> MapValueOrNull, [];
    /// Deletes a socket's storage.
    SK_STORAGE_DELETE = 108 sk_storage_delete(map: Map, sk: AnySock) -> Scalar, [];
    /// Deletes a socket's storage.
    SK_STORAGE_DELETE_TRACING = 108 sk_storage_delete(map: Map, sk: BtfOrNull("sock_common")) -> Scalar, [];
    /// Copies a record into a ring buffer.
    RINGBUF_OUTPUT = 130 ringbuf_output(ringbuf: Map, data: ReadMem, size: MemLenOrZero, flags: Anything) -> Scalar, [];
    /// Reserves a record of a ring buffer, to be submitted or discarded.
    RINGBUF_RESERVE = 131 ringbuf_reserve(ringbuf: Map, size: AllocLen, flags: Anything) -> RecordOrNull, [Acquires];
    /// Hands a reserved record to the reader.
    RINGBUF_SUBMIT = 132 ringbuf_submit(data: ReleasedRecord, flags: Anything) -> Void, [];
    /// Gives a reserved record up.
    RINGBUF_DISCARD = 133 ringbuf_discard(data: ReleasedRecord, flags: Anything) -> Void, [];
    /// Reads a figure of a ring buffer: size, position, unread bytes.
    RINGBUF_QUERY = 134 ringbuf_query(ringbuf: Map, flags: Anything) -> Scalar, [];
    /// The storage that belongs to an inode, made when asked.
    INODE_STORAGE_GET = 145 inode_storage_get(map: Map, inode: BtfOrNull("inode"), value: MapValueOrNull, flags: Anything) -> MapValueOrNull, [];
    /// Deletes an inode's storage.
    INODE_STORAGE_DELETE = 146 inode_storage_delete(map: Map, inode: BtfOrNull("inode")) -> Scalar, [];
    /// A per-processor variable of the kernel on one processor; null when there is no such processor.
    PER_CPU_PTR = 153 per_cpu_ptr(percpu_ptr: PercpuBtf, cpu: Anything) -> PercpuOrNull, [];
    /// A per-processor variable of the kernel on this processor.
    THIS_CPU_PTR = 154 this_cpu_ptr(percpu_ptr: PercpuBtf) -> Percpu, [];
    /// The storage that belongs to a task, made when asked.
    TASK_STORAGE_GET = 156 task_storage_get(map: Map, task: BtfOrNull("task_struct"), value: MapValueOrNull, flags: Anything) -> MapValueOrNull, [];
    /// Deletes a task's storage.
    TASK_STORAGE_DELETE = 157 task_storage_delete(map: Map, task: BtfOrNull("task_struct")) -> Scalar, [];
    /// Calls a function for every element of a map.
    FOR_EACH_MAP_ELEM = 164 for_each_map_elem(map: Map, callback_fn: Callback, callback_ctx: StackOrNull, flags: Anything) -> Scalar, [];
    /// Prepares the timer in a map value.
    TIMER_INIT = 169 timer_init(timer: Timer, map: Map, flags: Anything) -> Scalar, [GplOnly];
    /// Says which function a timer runs.
    TIMER_SET_CALLBACK = 170 timer_set_callback(timer: Timer, callback_fn: Callback) -> Scalar, [GplOnly];
    /// Starts a timer.
    TIMER_START = 171 timer_start(timer: Timer, nsecs: Anything, flags: Anything) -> Scalar, [GplOnly];
    /// Stops a timer and waits for its function.
    TIMER_CANCEL = 172 timer_cancel(timer: Timer) -> Scalar, [GplOnly];
    /// Exchanges the kernel pointer in a map value for another or null.
    KPTR_XCHG = 194 kptr_xchg(dst: KptrPlace, ptr: ReleasedKptrOrNull) -> KptrOrNull, [Acquires];
    /// Finds the value of a key on one processor.
    MAP_LOOKUP_PERCPU_ELEM = 195 map_lookup_percpu_elem(map: Map, key: MapKey, cpu: Anything) -> MapValueOrNull, [PacketMemory];
    /// Makes a dynamic pointer to memory of a map.
    DYNPTR_FROM_MEM = 197 dynptr_from_mem(data: WriteMem, size: MemLenOrZero, flags: Anything, ptr: NewDynptr(DynptrKind::Local)) -> Scalar, [];
    /// Reserves a record of a ring buffer as a dynamic pointer.
    RINGBUF_RESERVE_DYNPTR = 198 ringbuf_reserve_dynptr(ringbuf: Map, size: Anything, flags: Anything, ptr: NewDynptr(DynptrKind::Ringbuf)) -> Scalar, [];
    /// Hands a record behind a dynamic pointer to the reader.
    RINGBUF_SUBMIT_DYNPTR = 199 ringbuf_submit_dynptr(ptr: ReleasedDynptr, flags: Anything) -> Void, [];
    /// Gives a record behind a dynamic pointer up.
    RINGBUF_DISCARD_DYNPTR = 200 ringbuf_discard_dynptr(ptr: ReleasedDynptr, flags: Anything) -> Void, [];
    /// Copies bytes out of what a dynamic pointer points to.
    DYNPTR_READ = 201 dynptr_read(dst: WriteMem, len: MemLenOrZero, src: Dynptr, offset: Anything, flags: Anything) -> Scalar, [];
    /// Copies bytes into what a dynamic pointer points to.
    DYNPTR_WRITE = 202 dynptr_write(dst: Dynptr, offset: Anything, src: ReadMem, len: MemLenOrZero, flags: Anything) -> Scalar, [];
    /// A direct pointer to a slice of what a dynamic pointer points to.
    DYNPTR_DATA = 203 dynptr_data(ptr: Dynptr, offset: Anything, len: AllocLen) -> SliceOrNull, [];
    /// Calls a function for every record that user space wrote.
    USER_RINGBUF_DRAIN = 209 user_ringbuf_drain(map: Map, callback_fn: Callback, ctx: StackOrNull, flags: Anything) -> Scalar, [];
    /// The storage that belongs to a cgroup, made when asked.
    CGRP_STORAGE_GET = 210 cgrp_storage_get(map: Map, cgroup: BtfOrNull("cgroup"), value: MapValueOrNull, flags: Anything) -> MapValueOrNull, [];
    /// Deletes a cgroup's storage.
    CGRP_STORAGE_DELETE = 211 cgrp_storage_delete(map: Map, cgroup: BtfOrNull("cgroup")) -> Scalar, [];
}
