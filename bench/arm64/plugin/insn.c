// A plugin of qemu that counts the instructions that a program executes, and says so in the end. It declares what it
// uses of qemu-plugin.h (version 1), which Debian's qemu-user does not come with.
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

struct tb;
typedef uint64_t id;
extern size_t qemu_plugin_tb_n_insns(const struct tb *tb);
extern void qemu_plugin_register_vcpu_tb_exec_inline(struct tb *tb, int add, void *to, uint64_t n);
extern void qemu_plugin_register_vcpu_tb_trans_cb(id plugin, void (*f)(id, struct tb *));
extern void qemu_plugin_register_atexit_cb(id plugin, void (*f)(id, void *), void *data);

int qemu_plugin_version = 1;
static uint64_t count;

static void translated(id plugin, struct tb *tb) {
	qemu_plugin_register_vcpu_tb_exec_inline(tb, 0, &count, qemu_plugin_tb_n_insns(tb));
}

static void end(id plugin, void *data) { fprintf(stderr, "instructions: %llu\n", (unsigned long long)count); }

int qemu_plugin_install(id plugin, const void *info, int argc, char **argv) {
	qemu_plugin_register_vcpu_tb_trans_cb(plugin, translated);
	qemu_plugin_register_atexit_cb(plugin, end, NULL);
	return 0;
}
