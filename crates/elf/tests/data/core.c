/* One store per kind of CO-RE relocation; kernel.c says what the values become. */
typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;

#define SEC(name) __attribute__((section(name), used))
#define __core __attribute__((preserve_access_index))
#define FIELD(field, kind) __builtin_preserve_field_info(field, kind)
#define TYPE(type, kind) __builtin_preserve_type_info(*(type *)0, kind)
#define TYPE_ID(type, kind) __builtin_btf_type_id(*(type *)0, kind)
#define VALUE(type, value, kind) __builtin_preserve_enum_value(*(type *)value, kind)

struct inner {
	u64 moved;
	u32 before;
} __core;

enum color { RED = 1, GREEN = 2, BLUE = -1, MISSING = 9 };
typedef u64 number_t;

struct task {
	u32 pid;
	u32 narrow;
	struct inner inner[2];
	int flag_a : 5;
	u32 flag_b : 7;
	int negative;
	struct task *parent;
	enum color color;
	char comm[16];
	u32 gone;
	u8 tail[];
} __core;

struct task___old {
	u64 new_first;
	u64 gone_too;
} __core;

struct only_object {
	u64 a;
} __core;

struct only_kernel {
	u64 b;
} __core;

struct same_match {
	struct task *task;
} __core;

struct twice {
	u64 second;
} __core;

u64 out[64];

SEC("raw_tp/offsets") int offsets(u64 *ctx)
{
	struct task *task = (void *)ctx[0];

	out[0] = FIELD(task->pid, 0);
	out[1] = FIELD(task->inner[1].moved, 0);
	out[2] = FIELD(task->inner[1], 0);
	out[3] = FIELD(task->comm[3], 0);
	out[4] = FIELD(task->tail[5], 0);
	out[5] = FIELD(((struct task___old *)task)->new_first, 0);
	out[6] = FIELD(task->flag_b, 0);
	out[7] = FIELD(((struct twice *)task)->second, 0);
	return 0;
}

SEC("raw_tp/sizes") int sizes(u64 *ctx)
{
	struct task *task = (void *)ctx[0];

	out[0] = FIELD(task->pid, 1);
	out[1] = FIELD(task->comm, 1);
	out[2] = FIELD(task->inner, 1);
	out[3] = FIELD(task->flag_b, 1);
	out[4] = FIELD(task->negative, 1);
	return 0;
}

SEC("raw_tp/exists") int exists(u64 *ctx)
{
	struct task *task = (void *)ctx[0];

	out[0] = FIELD(task->pid, 2);
	out[1] = FIELD(task->gone, 2);
	out[2] = FIELD(((struct task___old *)task)->gone_too, 2);
	out[3] = FIELD(((struct only_object *)task)->a, 2);
	out[4] = FIELD(task->inner[1].before, 2);
	return 0;
}

SEC("raw_tp/bits") int bits(u64 *ctx)
{
	struct task *task = (void *)ctx[0];

	out[0] = FIELD(task->flag_a, 3);
	out[1] = FIELD(task->flag_b, 3);
	out[2] = FIELD(task->flag_a, 4);
	out[3] = FIELD(task->flag_a, 5);
	out[4] = FIELD(task->flag_b, 4);
	out[5] = FIELD(task->flag_b, 5);
	out[6] = FIELD(task->negative, 3);
	out[7] = FIELD(task->negative, 5);
	return 0;
}

SEC("raw_tp/types") int types(u64 *ctx)
{
	out[0] = TYPE(struct task, 0);
	out[1] = TYPE(struct only_object, 0);
	out[2] = TYPE(struct only_kernel, 1);
	out[3] = TYPE(struct only_object, 1);
	out[4] = TYPE(number_t, 0);
	out[5] = TYPE(struct same_match, 0);
	return 0;
}

SEC("raw_tp/type_ids") int type_ids(u64 *ctx)
{
	out[0] = TYPE_ID(struct only_kernel, 0);
	out[1] = TYPE_ID(struct only_kernel, 1);
	return 0;
}

SEC("raw_tp/values") int values(u64 *ctx)
{
	out[0] = VALUE(enum color, RED, 0);
	out[1] = VALUE(enum color, MISSING, 0);
	out[2] = VALUE(enum color, GREEN, 1);
	out[3] = VALUE(enum color, BLUE, 1);
	return 0;
}

/* Loads get the field's offset and width; a field that is gone makes them calls of nobody. */
SEC("raw_tp/loads") int loads(u64 *ctx)
{
	struct task *task = (void *)ctx[0];

	out[0] = task->pid;
	out[1] = task->narrow;
	out[2] = (u64)task->parent;
	out[3] = task->gone;
	out[4] = task->negative;
	return 0;
}

static __attribute__((noinline)) u64 shared(struct task *task)
{
	return FIELD(task->parent, 0);
}

SEC("raw_tp/in_function") int in_function(u64 *ctx)
{
	out[0] = shared((void *)ctx[0]);
	return 0;
}

char _license[] SEC("license") = "GPL";
