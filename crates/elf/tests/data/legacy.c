/* An object for the loaders before libbpf 1.0: maps as structures, programs in sections of any name. */
typedef unsigned int u32;
typedef unsigned long long u64;

#define SEC(name) __attribute__((section(name), used))

struct bpf_elf_map {
	u32 type, size_key, size_value, max_elem, flags, id, pinning, inner_id, inner_idx;
};

struct bpf_elf_map SEC("maps") table = { .type = 1, .size_key = 8, .size_value = 16, .max_elem = 100, .flags = 1 };
struct bpf_elf_map SEC("maps") inner = { .type = 2, .size_key = 4, .size_value = 8, .max_elem = 4, .id = 42 };
struct bpf_elf_map SEC("maps") outer = { .type = 12, .size_key = 4, .max_elem = 3, .pinning = 2, .inner_id = 42 };

static void *(*lookup)(void *map, const void *key) = (void *)1;
extern int nobody(int);

static __attribute__((noinline)) int helper(int x)
{
	return x * 3;
}

SEC("2/7") __attribute__((noinline)) int tail_of(int x)
{
	return x + 1;
}

SEC("from-netdev") int start(void *ctx)
{
	u64 key = 1;
	u32 index = 2;

	if (lookup(&table, &key) && lookup(&outer, &index))
		return helper(4) + tail_of(5);
	return 0;
}

SEC("xdp_something") int calls_nobody(void *ctx)
{
	return nobody(7);
}

char _license[] SEC("license") = "GPL";
int _version SEC("version") = 0x050607;
