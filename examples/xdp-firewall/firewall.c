/* Drops what comes from listed networks, counts what passed and what did not. */
/* clang -O2 -g -target bpf -mcpu=v3 -c firewall.c -o firewall.o */
typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;

#define SEC(name) __attribute__((section(name), used))

struct xdp_md {
	u32 data;
	u32 data_end;
};

struct network {
	u32 bits;
	u8 address[4];
};

struct count {
	u64 packets;
	u64 bytes;
};

static void *(*lookup)(void *map, const void *key) = (void *)1;

struct {
	int (*type)[11]; /* BPF_MAP_TYPE_LPM_TRIE */
	int (*max_entries)[1024];
	int (*map_flags)[1]; /* BPF_F_NO_PREALLOC */
	struct network *key;
	u32 *value;
} blocked SEC(".maps");

struct {
	int (*type)[2]; /* BPF_MAP_TYPE_ARRAY */
	int (*max_entries)[2];
	u32 *key;
	struct count *value;
} counts SEC(".maps");

static __attribute__((always_inline)) int decide(u32 verdict, u64 bytes)
{
	u32 slot = verdict == 1;
	struct count *count = lookup(&counts, &slot);

	if (count) {
		__sync_fetch_and_add(&count->packets, 1);
		__sync_fetch_and_add(&count->bytes, bytes);
	}
	return verdict;
}

SEC("xdp") int firewall(struct xdp_md *ctx)
{
	u8 *data = (u8 *)(long)ctx->data;
	u8 *end = (u8 *)(long)ctx->data_end;
	struct network source = { .bits = 32 };

	if (data + 34 > end || data[12] != 8 || data[13] != 0)
		return decide(2, end - data);
	__builtin_memcpy(source.address, data + 26, 4);
	return decide(lookup(&blocked, &source) ? 1 : 2, end - data);
}

char _license[] SEC("license") = "GPL";
