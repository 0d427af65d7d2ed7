/* Copies what passes through SSL_write and SSL_read before it is encrypted and after it is decrypted. */
/* clang -O2 -g -target bpf -mcpu=v3 -fdebug-compilation-dir=. -c capture.c -o capture.o */
typedef unsigned int u32;
typedef unsigned long long u64;

#define SEC(name) __attribute__((section(name), used))

static void *(*lookup)(void *map, const void *key) = (void *)1;
static long (*update)(void *map, const void *key, const void *value, u64 flags) = (void *)2;
static long (*delete)(void *map, const void *key) = (void *)3;
static u64 (*ktime)(void) = (void *)5;
static u64 (*pid_tgid)(void) = (void *)14;
static long (*comm)(void *to, u32 size) = (void *)16;
static long (*read_user)(void *to, u32 size, const void *from) = (void *)112;
static void *(*reserve)(void *ring, u64 size, u64 flags) = (void *)131;
static void (*submit)(void *record, u64 flags) = (void *)132;
static void (*discard)(void *record, u64 flags) = (void *)133;

/* struct pt_regs of x86-64: arguments in di, si, dx, the result in ax. */
struct pt_regs {
	u64 r15, r14, r13, r12, bp, bx, r11, r10, r9, r8, ax, cx, dx, si, di, orig_ax, ip, cs, flags, sp, ss;
};

#define MOST 256

enum direction { WRITTEN, READ };

struct event {
	u64 time_ns;
	u32 pid;
	u32 tid;
	enum direction direction;
	u32 len; /* of the data, which may be longer than what is copied */
	char comm[16];
	char data[MOST];
};
const struct event *unused __attribute__((unused));

struct {
	int (*type)[27]; /* BPF_MAP_TYPE_RINGBUF */
	int (*max_entries)[65536];
} events SEC(".maps");

/* Where each thread that is in SSL_read wants its data. */
struct {
	int (*type)[1]; /* BPF_MAP_TYPE_HASH */
	int (*max_entries)[1024];
	u64 *key;
	u64 *value;
} reading SEC(".maps");

/* 0: everyone's */
const volatile u32 target = 0;

static int send(u64 data, int len, enum direction direction)
{
	struct event *event;
	u64 id = pid_tgid();
	u32 size = len;

	if (len <= 0 || (target && target != id >> 32))
		return 0;
	event = reserve(&events, sizeof(*event), 0);
	if (!event)
		return 0;
	event->time_ns = ktime();
	event->pid = id >> 32;
	event->tid = id;
	event->direction = direction;
	event->len = len;
	comm(event->comm, sizeof(event->comm));
	__builtin_memset(event->data, 0, sizeof(event->data));
	if (size > MOST - 1)
		size = MOST - 1;
	if (read_user(event->data, size, (void *)data) < 0)
		discard(event, 0);
	else
		submit(event, 0);
	return 0;
}

/* int SSL_write(SSL *ssl, const void *data, int len): the data is there on entry. */
SEC("uprobe/libssl.so.3:SSL_write")
int ssl_write(struct pt_regs *regs)
{
	return send(regs->si, regs->dx, WRITTEN);
}

/* int SSL_read(SSL *ssl, void *data, int len): the data is there on return, as long as what is returned. */
SEC("uprobe/libssl.so.3:SSL_read")
int ssl_read(struct pt_regs *regs)
{
	u64 id = pid_tgid(), data = regs->si;

	update(&reading, &id, &data, 0);
	return 0;
}

SEC("uretprobe/libssl.so.3:SSL_read")
int ssl_read_done(struct pt_regs *regs)
{
	u64 id = pid_tgid();
	u64 *data = lookup(&reading, &id);

	if (data) {
		send(*data, regs->ax, READ);
		delete(&reading, &id);
	}
	return 0;
}

char _license[] SEC("license") = "GPL";
