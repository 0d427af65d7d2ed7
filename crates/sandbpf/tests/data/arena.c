// A list and a hash table in an arena: what programs build there, users walk. Casts between address spaces are the
// compiler's.
typedef unsigned char u8;
typedef unsigned int u32;
typedef unsigned long long u64;

#define SEC(name) __attribute__((section(name), used))
#define __uint(name, val) int(*name)[val]
#define __arena __attribute__((address_space(1)))
#define NULL ((void *)0)

struct {
	__uint(type, 33); // BPF_MAP_TYPE_ARENA
	__uint(map_flags, 1024); // BPF_F_MMAPABLE
	__uint(max_entries, 64);
} arena SEC(".maps");

extern void __arena *bpf_arena_alloc_pages(void *map, void __arena *addr, u32 page_cnt, int node_id, u64 flags)
	__attribute__((section(".ksyms")));
extern void bpf_arena_free_pages(void *map, void __arena *ptr, u32 page_cnt) __attribute__((section(".ksyms")));
extern int bpf_arena_reserve_pages(void *map, void __arena *ptr, u32 page_cnt) __attribute__((section(".ksyms")));

struct node {
	struct node __arena *next;
	u64 value;
};

struct request {
	u32 count;
	u32 found;
	u64 sum;
};

// Variables of the arena, where both sides find what is in it.
struct node __arena *__arena head SEC(".addr_space.1");
u32 __arena nodes SEC(".addr_space.1");
u32 __arena step SEC(".addr_space.1") = 3;

static struct node __arena *page;
static u32 left;

static struct node __arena *new_node(void)
{
	if (left == 0) {
		page = bpf_arena_alloc_pages(&arena, NULL, 1, -1, 0);
		if (!page)
			return NULL;
		left = 4096 / sizeof(struct node);
	}
	return &page[--left];
}

// Puts 0, step, 2 step, … before what is in the list.
SEC("syscall")
int push(struct request *request)
{
	for (u32 i = 0; i < 1000 && i < request->count; i++) {
		struct node __arena *node = new_node();
		if (!node)
			return 1;
		node->value = i * step;
		node->next = head;
		head = node;
		__sync_fetch_and_add(&nodes, 1);
	}
	return 0;
}

// Adds up what is in the list, and follows its end: null.
SEC("syscall")
int sum(struct request *request)
{
	struct node __arena *node = head;

	for (u32 i = 0; i < 1000 && node; i++) {
		request->sum += node->value;
		request->found++;
		node = node->next;
	}
	return node ? 1 : 0;
}

// Gives the last page back, and reads what was in it: zeros.
SEC("syscall")
int drop(struct request *request)
{
	volatile struct node __arena *first = page;

	bpf_arena_free_pages(&arena, page, 1);
	request->sum = first->value + first->next->value;
	first->value = 7;
	request->found = first->value;
	return bpf_arena_reserve_pages(&arena, page, 1);
}

char _license[] SEC("license") = "GPL";
