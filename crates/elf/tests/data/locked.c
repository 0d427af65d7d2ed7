/* Values with a lock and a timer in them. */
typedef unsigned int u32;
typedef unsigned long long u64;

#define SEC(name) __attribute__((section(name), used))

struct bpf_spin_lock {
	u32 val;
};

struct bpf_timer {
	u64 __opaque[2];
} __attribute__((aligned(8)));

struct account {
	u64 first;
	struct bpf_spin_lock lock;
	u32 second;
};

struct alarm {
	struct bpf_timer timer;
	u64 rings;
};

struct {
	int (*type)[2];
	int (*max_entries)[1];
	u32 *key;
	struct account *value;
} accounts SEC(".maps");

struct {
	int (*type)[1];
	int (*max_entries)[4];
	u32 *key;
	struct alarm *value;
} alarms SEC(".maps");

static void *(*lookup)(void *map, const void *key) = (void *)1;
static void (*lock)(struct bpf_spin_lock *lock) = (void *)93;
static void (*unlock)(struct bpf_spin_lock *lock) = (void *)94;

SEC("tc") int pay(void *ctx)
{
	u32 key = 0;
	struct account *account = lookup(&accounts, &key);

	if (!account)
		return 2;
	lock(&account->lock);
	account->first++;
	account->second++;
	unlock(&account->lock);
	return 0;
}

char _license[] SEC("license") = "GPL";
