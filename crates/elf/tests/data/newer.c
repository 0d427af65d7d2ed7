/* A map of a type that Linux 6.18 does not have: BPF_MAP_TYPE_INSN_ARRAY came after it. */
typedef unsigned int u32;
typedef unsigned long long u64;

#define SEC(name) __attribute__((section(name), used))

struct {
	int (*type)[34];
	int (*max_entries)[1];
	u32 *key;
	u64 *value;
} places SEC(".maps");

SEC("xdp") int always(void *ctx)
{
	return 2;
}
