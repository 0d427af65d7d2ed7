/* Says who opens which file, and what came of it. */
/* clang -O2 -g -target bpf -mcpu=v3 -fdebug-compilation-dir=. -c opensnoop.c -o opensnoop.o */
typedef unsigned int u32;
typedef unsigned long long u64;

#define SEC(name) __attribute__((section(name), used))

static void *(*lookup)(void *map, const void *key) = (void *)1;
static long (*update)(void *map, const void *key, const void *value, u64 flags) = (void *)2;
static long (*delete)(void *map, const void *key) = (void *)3;
static long (*trace_printk)(const char *format, u32 size, ...) = (void *)6;
static u64 (*pid_tgid)(void) = (void *)14;
static long (*comm)(void *to, u32 size) = (void *)16;
static long (*read_user_str)(void *to, u32 size, const void *from) = (void *)114;
static void *(*reserve)(void *ring, u64 size, u64 flags) = (void *)131;
static void (*submit)(void *record, u64 flags) = (void *)132;

/* /sys/kernel/tracing/events/syscalls/sys_enter_openat/format */
struct enter {
	u64 common;
	long number;
	long directory;
	const char *name;
	long flags;
	long mode;
};

struct leave {
	u64 common;
	long number;
	long returned;
};

struct event {
	u32 pid;
	int returned;
	char comm[16];
	char name[64];
};
/* Keeps the type in the object, for readers of the ring buffer. */
const struct event *unused __attribute__((unused));

struct {
	int (*type)[1]; /* BPF_MAP_TYPE_HASH */
	int (*max_entries)[1024];
	u64 *key;
	const char **value;
} started SEC(".maps");

struct {
	int (*type)[27]; /* BPF_MAP_TYPE_RINGBUF */
	int (*max_entries)[4096];
} events SEC(".maps");

/* 0: everyone's */
const volatile u32 target = 0;

SEC("tracepoint/syscalls/sys_enter_openat")
int enter(struct enter *context)
{
	u64 id = pid_tgid();
	const char *name = context->name;

	if (target && id >> 32 != target)
		return 0;
	update(&started, &id, &name, 0);
	return 0;
}

SEC("tracepoint/syscalls/sys_exit_openat")
int leave(struct leave *context)
{
	u64 id = pid_tgid();
	const char **name = lookup(&started, &id);
	struct event *event;

	if (!name)
		return 0;
	event = reserve(&events, sizeof(*event), 0);
	if (event) {
		static const char format[] = "%d opened, with %d";

		event->pid = id >> 32;
		event->returned = context->returned;
		comm(event->comm, sizeof(event->comm));
		if (read_user_str(event->name, sizeof(event->name), *name) < 0)
			event->name[0] = 0;
		trace_printk(format, sizeof(format), event->pid, event->returned);
		submit(event, 0);
	}
	delete(&started, &id);
	return 0;
}

char _license[] SEC("license") = "GPL";
