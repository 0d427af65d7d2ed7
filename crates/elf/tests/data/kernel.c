/* The types of a kernel that never was: what core.c, externs.c and maps.c are adapted to. */
typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;

struct inner {
	u32 before;
	union {
		u64 moved;
		u32 half;
	};
};

enum color { RED = 3, GREEN = 70000, BLUE = -5 };
typedef u64 number_t;

/* core.c knows it smaller, in another order and with wider fields. */
struct task {
	u64 new_first;
	struct inner inner[4];
	u32 pid;
	u16 narrow;
	int flag_a : 3;
	u32 flag_b : 7;
	long negative;
	struct task *parent;
	enum color color;
	char comm[24];
	u8 tail[];
};

struct only_kernel {
	u64 a, b;
};

struct same_match {
	u32 a;
	struct task *task;
};

/* Two of a name: the field tells which is meant. */
struct twice___one {
	u64 first;
};
struct twice___two {
	u64 pad, second;
};

struct ops {
	int (*open)(int);
	u64 value;
	u32 extra_of_kernel;
	int (*close)(int, int);
};
struct bpf_struct_ops_ops {
	u64 refcount;
	u32 state;
	struct ops data __attribute__((aligned(64)));
};

/* Names every type, so that the compiler describes it. */
struct keep {
	struct only_kernel only;
	struct same_match same;
	struct twice___one one;
	struct twice___two two;
	struct bpf_struct_ops_ops ops;
	number_t number;
	struct task task;
} keep;

u64 kernel_counter;

int kernel_function(struct task *task, u32 x)
{
	return task->pid + x;
}

int other_prototype(u64 x)
{
	return x;
}
