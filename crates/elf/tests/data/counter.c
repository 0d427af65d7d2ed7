/* Counts packets by port: a hash map, a constant, a counter, a static and a global function. */
typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;

#define SEC(name) __attribute__((section(name), used))

struct xdp_md {
	u32 data;
	u32 data_end;
};

struct event {
	u64 count;
	u32 last;
	u16 port;
	u16 flags;
};

static void *(*lookup)(void *map, const void *key) = (void *)1;
static long (*update)(void *map, const void *key, const void *value, u64 flags) = (void *)2;

struct {
	int (*type)[1];
	int (*max_entries)[64];
	u16 *key;
	struct event *value;
} events SEC(".maps");

const volatile u32 limit = 100;
u64 total;
static u64 dropped;

__attribute__((noinline)) int port_of(struct xdp_md *ctx)
{
	u8 *data = (u8 *)(long)ctx->data;
	u8 *end = (u8 *)(long)ctx->data_end;

	if (data + 38 > end)
		return 0;
	return data[36] << 8 | data[37];
}

static __attribute__((noinline)) int drop(void)
{
	dropped++;
	return 1;
}

SEC("xdp") int count(struct xdp_md *ctx)
{
	u16 port = port_of(ctx);
	struct event *event = lookup(&events, &port);
	struct event fresh = { .count = 1, .port = port };

	total++;
	if (!event) {
		update(&events, &port, &fresh, 0);
		return 2;
	}
	event->count++;
	return event->count > limit ? drop() : 2;
}

char _license[] SEC("license") = "GPL";
