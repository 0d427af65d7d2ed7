/* Keeps listed files from being opened, and ends who runs a listed program: policy in a map, as Tetragon has it. */
/* clang -O2 -g -target bpf -mcpu=v3 -fdebug-compilation-dir=. -c enforce.c -o enforce.o */
typedef unsigned int u32;
typedef unsigned long long u64;

#define SEC(name) __attribute__((section(name), used))

static void *(*lookup)(void *map, const void *key) = (void *)1;
static u64 (*pid_tgid)(void) = (void *)14;
static long (*comm)(void *to, u32 size) = (void *)16;
static long (*send_signal)(u32 signal) = (void *)109;
static long (*read_kernel)(void *to, u32 size, const void *from) = (void *)113;
static long (*read_user_str)(void *to, u32 size, const void *from) = (void *)114;
static long (*read_kernel_str)(void *to, u32 size, const void *from) = (void *)115;
static void *(*reserve)(void *ring, u64 size, u64 flags) = (void *)131;
static void (*submit)(void *record, u64 flags) = (void *)132;

#define EPERM 1
#define SIGKILL 9

enum action { ALLOWED, DENIED, KILLED };

struct name {
	char text[32];
};

struct event {
	u32 pid;
	enum action action;
	char comm[16];
	struct name name;
};
const struct event *unused __attribute__((unused));

/* What becomes of whom; what is not listed is allowed. */
struct {
	int (*type)[1]; /* BPF_MAP_TYPE_HASH */
	int (*max_entries)[1024];
	struct name *key;
	enum action *value;
} policy SEC(".maps");

struct {
	int (*type)[27]; /* BPF_MAP_TYPE_RINGBUF */
	int (*max_entries)[4096];
} events SEC(".maps");

/* Of the kernel's structures, what is looked at. Loaders adapt the offsets to the kernel's types. */
#define KERNEL __attribute__((preserve_access_index))
struct qstr {
	u64 hash_len;
	const unsigned char *name;
} KERNEL;
struct dentry {
	struct qstr d_name;
} KERNEL;
struct path {
	void *mnt;
	struct dentry *dentry;
} KERNEL;
struct file {
	struct path f_path;
} KERNEL;

static enum action decide(const struct name *name)
{
	enum action *found = lookup(&policy, name);
	enum action action = found ? *found : ALLOWED;
	struct event *event;

	if (action == ALLOWED)
		return action;
	event = reserve(&events, sizeof(*event), 0);
	if (event) {
		event->pid = pid_tgid() >> 32;
		event->action = action;
		comm(event->comm, sizeof(event->comm));
		event->name = *name;
		submit(event, 0);
	}
	return action;
}

/* int security_file_open(struct file *file): who gets -EPERM does not open it. */
SEC("lsm/file_open")
int file_open(u64 *args)
{
	struct file *file = (void *)args[0];
	struct name name = {};
	struct dentry *dentry;
	const unsigned char *text;

	read_kernel(&dentry, sizeof(dentry), __builtin_preserve_access_index(&file->f_path.dentry));
	read_kernel(&text, sizeof(text), __builtin_preserve_access_index(&dentry->d_name.name));
	if (read_kernel_str(name.text, sizeof(name.text), text) < 0)
		return 0;
	return decide(&name) == DENIED ? -EPERM : 0;
}

/* struct pt_regs of x86-64, up to the first two arguments. */
struct pt_regs {
	u64 others[13], si, di;
};

/* long __x64_sys_execve(const struct pt_regs *called): a signal ends who runs a listed program. */
SEC("kprobe/__x64_sys_execve")
int execve(struct pt_regs *regs)
{
	struct pt_regs *called = (void *)regs->di;
	struct name name = {};
	u64 text;

	/* System calls find their arguments in the registers that the entry saved. */
	if (read_kernel(&text, sizeof(text), &called->di) < 0 ||
	    read_user_str(name.text, sizeof(name.text), (void *)text) < 0)
		return 0;
	if (decide(&name) == KILLED)
		send_signal(SIGKILL);
	return 0;
}

char _license[] SEC("license") = "GPL";
