/* A switch that newer compilers make a table of addresses of. */
typedef unsigned int u32;

#define SEC(name) __attribute__((section(name), used))

struct xdp_md {
	u32 data;
	u32 data_end;
	u32 data_meta;
	u32 ifindex;
};

SEC("xdp") int by_device(struct xdp_md *ctx)
{
	volatile int answer;

	switch (ctx->ifindex) {
	case 0: answer = 3; break;
	case 1: answer = 77; break;
	case 2: answer = 9; break;
	case 3: answer = 1234; break;
	case 4: answer = 21; break;
	case 5: answer = 8; break;
	case 6: answer = 91; break;
	default: answer = 0;
	}
	return answer;
}

SEC("xdp") int always(struct xdp_md *ctx)
{
	return 2;
}
