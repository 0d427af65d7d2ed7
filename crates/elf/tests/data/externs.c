/* What a program expects from the kernel: configuration, functions, variables. */
typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;

#define SEC(name) __attribute__((section(name), used))
#define __kconfig __attribute__((section(".kconfig")))
#define __ksym __attribute__((section(".ksyms")))
#define __weak __attribute__((weak))

enum libbpf_tristate { TRI_NO, TRI_YES, TRI_MODULE };

extern u32 LINUX_KERNEL_VERSION __kconfig;
extern _Bool CONFIG_ON __kconfig;
extern enum libbpf_tristate CONFIG_MODULE __kconfig;
extern char CONFIG_LETTER __kconfig;
extern u16 CONFIG_NUMBER __kconfig;
extern long CONFIG_NEGATIVE __kconfig;
extern char CONFIG_TEXT[12] __kconfig;
extern u64 CONFIG_ABSENT __kconfig __weak;
extern int CONFIG_NEEDED __kconfig;

struct task {
	u32 pid;
};
extern int kernel_function(struct task *task, u32 x) __ksym;
extern int kernel_function___flavour(struct task *task, u32 x) __ksym __weak;
extern int absent_function(u64 x) __ksym __weak;
extern int other_prototype(u64 x, u64 y) __ksym __weak;
extern int needed_function(void) __ksym;
extern const u64 kernel_counter __ksym;
extern const u64 absent_counter __ksym __weak;
extern const void kernel_symbol __ksym;
extern const void absent_symbol __ksym __weak;

u64 out[16];

SEC("raw_tp/config") int config(u64 *ctx)
{
	out[0] = LINUX_KERNEL_VERSION;
	out[1] = CONFIG_ON;
	out[2] = CONFIG_MODULE;
	out[3] = CONFIG_LETTER;
	out[4] = CONFIG_NUMBER;
	out[5] = CONFIG_NEGATIVE;
	out[6] = CONFIG_TEXT[2];
	out[7] = CONFIG_ABSENT;
	return 0;
}

SEC("raw_tp/needs_config") int needs_config(u64 *ctx)
{
	return CONFIG_NEEDED;
}

SEC("raw_tp/functions") int functions(u64 *ctx)
{
	struct task *task = (void *)ctx[0];

	out[0] = kernel_function(task, 1);
	out[1] = kernel_function___flavour(task, 2);
	out[2] = absent_function(3);
	out[3] = other_prototype(4, 5);
	return 0;
}

SEC("raw_tp/needs_function") int needs_function(u64 *ctx)
{
	return needed_function();
}

SEC("raw_tp/variables") int variables(u64 *ctx)
{
	out[0] = (u64)&kernel_counter;
	out[1] = (u64)&absent_counter;
	out[2] = (u64)&kernel_symbol;
	out[3] = (u64)&absent_symbol;
	return 0;
}

char _license[] SEC("license") = "GPL";
