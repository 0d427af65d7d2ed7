/* Every way to define a map by types, global data of every kind, a structure of functions. */
typedef unsigned char u8;
typedef unsigned int u32;
typedef unsigned long long u64;

#define SEC(name) __attribute__((section(name), used))

struct key {
	u32 address;
	u32 port;
};

struct per_port {
	int (*type)[2];
	int (*max_entries)[16];
	u32 *key;
	u64 *value;
};

struct per_port first SEC(".maps"), second SEC(".maps");

struct {
	int (*type)[12];
	int (*max_entries)[8];
	u32 *key;
	struct per_port *values[];
} outer SEC(".maps") = { .values = { [1] = &first, [5] = &second } };

struct {
	int (*type)[13];
	int (*max_entries)[4];
	int (*key_size)[4];
	struct {
		int (*type)[1];
		int (*max_entries)[32];
		struct key *key;
		u64 *value;
	} *values[];
} unnamed_inner SEC(".maps");

struct {
	int (*type)[27];
	int (*max_entries)[5000];
} ring SEC(".maps");

struct {
	int (*type)[4];
	int (*key_size)[4];
	int (*value_size)[4];
} perf SEC(".maps");

struct {
	int (*type)[1];
	int (*map_flags)[5];
	int (*numa_node)[1];
	int (*pinning)[1];
	int (*max_entries)[100];
	struct key *key;
	u64 *value;
} pinned SEC(".maps");

struct {
	int (*type)[30];
	int (*max_entries)[10];
	int (*map_extra)[3];
	u64 *value;
} bloom SEC(".maps");

int entry_one(void *ctx);
int entry_two(void *ctx);

struct {
	int (*type)[3];
	int (*max_entries)[10];
	int (*key_size)[4];
	int (*values[])(void *);
} jumps SEC(".maps") = { .values = { [2] = (void *)&entry_one, [7] = (void *)&entry_two } };

const volatile u32 constant = 7;
const volatile u64 own_constant SEC(".rodata.own") = 8;
u32 variable = 9;
u32 own_variable SEC(".data.own") = 10;
u64 zero[3];
struct key sample;
__attribute__((visibility("hidden"))) u32 hidden_zero SEC(".bss.hidden");

static long (*for_each)(void *map, void *fn, void *ctx, u64 flags) = (void *)164;
static void *(*lookup)(void *map, const void *key) = (void *)1;

__attribute__((noinline)) int deepest(int x)
{
	return x * constant;
}

__attribute__((noinline)) int deep(int x)
{
	return deepest(x) + deepest(x + 1);
}

static __attribute__((noinline)) int visit(void *map, u32 *key, u64 *value, void *ctx)
{
	variable += *value;
	return deep(*key);
}

SEC("socket") int entry_one(void *ctx)
{
	u32 key = 1;
	void *inner = lookup(&outer, &key);

	if (inner)
		for_each(inner, visit, 0, 0);
	zero[1] = own_variable;
	hidden_zero = own_constant;
	return deepest(3);
}

SEC("socket") int entry_two(void *ctx)
{
	return deep(zero[2]);
}

SEC("?kprobe/sleepy") int not_loaded(void *ctx)
{
	return variable;
}

struct ops {
	int (*open)(int);
	int (*close)(int, int);
	u64 value;
};

SEC("struct_ops.s/open") int my_open(u64 *ctx)
{
	return ctx[0];
}

SEC("struct_ops/close") int my_close(u64 *ctx)
{
	return ctx[1];
}

struct ops my_ops SEC(".struct_ops.link") = {
	.open = (void *)my_open,
	.close = (void *)my_close,
	.value = 5,
};

char _license[] SEC("license") = "Dual MIT/GPL";
