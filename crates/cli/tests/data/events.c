/* Records of every sort: declared, exported, called an event, the only one of their size, two of one size, cut short. */
typedef unsigned char u8;
typedef unsigned int u32;
typedef unsigned long long u64;

#define SEC(name) __attribute__((section(name), used))

static long (*perf_output)(void *ctx, void *map, u64 flags, void *data, u64 size) = (void *)25;
static long (*ring_output)(void *ring, void *data, u64 size, u64 flags) = (void *)130;

enum state { GONE = -1, IDLE, BUSY };

/* Found by a variable that points to it. 80 bytes. */
struct sample {
	u32 pid;
	enum state state;
	signed char delta;
	_Bool seen;
	unsigned short flags : 3;
	signed short small : 4;
	float ratio;
	char comm[16];
	char odd[4];
	u8 address[4];
	union {
		u32 v4;
		u8 bytes[4];
	};
	struct {
		short x, y;
	} points[2];
	void *where;
	double mean;
	__int128 wide;
};
const struct sample *unused __attribute__((unused));

/* Found by its name; the other is as long. 24 bytes. */
struct open_event {
	u64 a, b, c;
};
struct opening {
	u64 d, e, f;
};

/* As long as each other. 40 bytes. */
struct one {
	u64 a[5];
};
struct other {
	u64 b[5];
};

/* The only one of its size. 48 bytes. */
struct lone {
	u64 a[6];
};

/* Declared by the map; sent as long as it is filled. */
struct line {
	u32 len;
	u32 kind;
	char text[16];
};

/* Without a length at the end. */
struct words {
	u32 count;
	u32 words[];
};

struct {
	int (*type)[27]; /* BPF_MAP_TYPE_RINGBUF */
	int (*max_entries)[4096];
} events SEC(".maps");

struct {
	int (*type)[27];
	int (*max_entries)[4096];
	struct line *value;
} lines SEC(".maps");

struct {
	int (*type)[4]; /* BPF_MAP_TYPE_PERF_EVENT_ARRAY */
	int (*key_size)[4];
	int (*value_size)[4];
} perf SEC(".maps");

/* Says what its records are, as Cilium's loader takes it. */
struct {
	int (*type)[4];
	struct opening *value;
} named SEC(".maps");

/* Maps that keep the types in the object. */
#define KEEP(type_name)                          \
	struct {                                 \
		int (*type)[1];                  \
		int (*max_entries)[1];           \
		u32 *key;                        \
		struct type_name *value;         \
	} keep_##type_name SEC(".maps")
KEEP(open_event);
KEEP(opening);
KEEP(one);
KEEP(other);
KEEP(lone);
KEEP(words);

/* What the program is given is never a record, whatever it is called: as long as `struct lone`. */
struct event_context {
	u64 args[6];
};

/* To be set by their types. */
char filter[8];
enum state wanted;
_Bool loud;
struct line first;
u8 *place;

static u64 numbers[6] = { 1, 2, 3, 4, 5, 6 };

SEC("raw_tracepoint/sample")
int samples(struct event_context *ctx)
{
	struct sample sample;

	__builtin_memset(&sample, 0, sizeof(sample));
	sample.pid = 7;
	sample.state = GONE;
	sample.delta = -2;
	sample.seen = 1;
	sample.flags = 5;
	sample.small = -3;
	sample.ratio = 0.5f;
	__builtin_memcpy(sample.comm, "curl", 5);
	__builtin_memcpy(sample.odd, "abcd", 4);
	sample.v4 = 0x0100007f;
	sample.points[1].y = -9;
	sample.where = (void *)0x1000;
	sample.mean = 2.25;
	sample.wide = 1;
	ring_output(&events, &sample, sizeof(sample), 0);
	return 0;
}

SEC("raw_tracepoint/sizes")
int sizes(struct event_context *ctx)
{
	struct line line = { 5, 1, "hello" };

	ring_output(&events, numbers, 24, 0); /* open_event */
	ring_output(&events, numbers, 40, 0); /* one or other */
	ring_output(&events, numbers, 48, 0); /* lone */
	ring_output(&events, numbers, 17, 0); /* nothing */
	ring_output(&lines, &line, sizeof(line), 0);
	ring_output(&lines, &line, 8 + 5, 0);
	perf_output(ctx, &perf, 0xffffffff, numbers, 24);
	perf_output(ctx, &perf, 0xffffffff, numbers, 12); /* struct words, if anybody says so */
	perf_output(ctx, &named, 0xffffffff, numbers, 24);
	return 0;
}

char _license[] SEC("license") = "GPL";
