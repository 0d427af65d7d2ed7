/* Rewrites the destination of IPv4 packets to one address, and corrects the checksums. */
/* clang -O2 -g -target bpf -mcpu=v3 -c rewrite.c -o rewrite.o */
typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;

#define SEC(name) __attribute__((section(name), used))

struct __sk_buff;

static long (*load)(struct __sk_buff *skb, u32 offset, void *to, u32 len) = (void *)26;
static long (*store)(struct __sk_buff *skb, u32 offset, const void *from, u32 len, u64 flags) = (void *)9;
static long (*l3_replace)(struct __sk_buff *skb, u32 offset, u64 from, u64 to, u64 size) = (void *)10;
static long (*l4_replace)(struct __sk_buff *skb, u32 offset, u64 from, u64 to, u64 flags) = (void *)11;

/* 192.0.2.7, in network byte order. */
const volatile u32 target = 0x070200c0;

SEC("tc") int rewrite(struct __sk_buff *skb)
{
	u8 protocol;
	u16 type;
	u32 before, after = target;

	if (load(skb, 12, &type, 2) || type != 8)
		return 0;
	if (load(skb, 23, &protocol, 1) || load(skb, 30, &before, 4))
		return 2;
	if (protocol == 6)
		l4_replace(skb, 50, before, after, 0x10 | 4);
	if (protocol == 17)
		l4_replace(skb, 40, before, after, 0x10 | 0x20 | 4);
	l3_replace(skb, 24, before, after, 4);
	return store(skb, 30, &after, 4, 0) ? 2 : 0;
}

char _license[] SEC("license") = "GPL";
