// Counts packets, and once a second's pause is over tells how many there were: a timer in a map's value.
// clang -O2 -g -target bpf -fdebug-compilation-dir=. -c later.c -o later.o
typedef unsigned int u32;
typedef unsigned long long u64;

#define SEC(name) __attribute__((section(name), used))

struct bpf_timer {
	u64 opaque[2];
} __attribute__((aligned(8)));

struct counter {
	struct bpf_timer timer;
	u64 packets;
	u64 told;
};

struct {
	int (*type)[2]; // an array
	u32 *key;
	struct counter *value;
	int (*max_entries)[4];
} counters SEC(".maps");

static void *(*lookup)(void *map, const void *key) = (void *)1;
static long (*trace_printk)(const char *text, u32 size, ...) = (void *)6;
static long (*timer_init)(struct bpf_timer *timer, void *map, u64 flags) = (void *)169;
static long (*timer_set_callback)(struct bpf_timer *timer, void *function) = (void *)170;
static long (*timer_start)(struct bpf_timer *timer, u64 nanos, u64 flags) = (void *)171;

static int tell(void *map, u32 *key, struct counter *counter)
{
	char text[] = "key %d: %d packets\n";

	trace_printk(text, sizeof(text), *key, counter->packets);
	counter->told++;
	return 0;
}

static int count(u32 key)
{
	struct counter *counter = lookup(&counters, &key);

	if (!counter)
		return 0;
	counter->packets++;
	timer_init(&counter->timer, &counters, 1);
	timer_set_callback(&counter->timer, tell);
	timer_start(&counter->timer, 1000000000, 0);
	return 2;
}

SEC("xdp") int packet(void *ctx) { return count(1); }
SEC("kprobe/x") int probe(void *ctx) { return count(2); }

char _license[] SEC("license") = "GPL";
