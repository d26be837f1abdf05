#include "os/steering.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/error.h"

enum {
	INSTRUCTIONS_MAX = 2048, /* about 20 per worker */
	ARRAY_BYTES = STEERING_WORKERS_MAX * sizeof(struct steering_entry),
	CHOSEN_BY_HASH = 1, /* SK_PASS without a choice */
	/*
	 * A SYN that is not followed up wakes nobody, so an idle worker's count is not taken back:
	 * more than this many at once do not count, and a flood makes nobody look busy.
	 */
	EXPECTED_MAX = 256,
};

/* Registers, by what they hold. Calls keep 6 to 9 alone. */
enum {
	R_RESULT = BPF_REG_0,
	R_1 = BPF_REG_1,
	R_2 = BPF_REG_2,
	R_3 = BPF_REG_3,
	R_4 = BPF_REG_4,
	R_ARRAY = BPF_REG_5,
	R_CONTEXT = BPF_REG_6,
	R_NOW = BPF_REG_7,
	R_BEST_SCORE = BPF_REG_8,
	R_BEST = BPF_REG_9,
	R_HASH = BPF_REG_0,
	R_FRAME = BPF_REG_10,
};

struct program {
	struct bpf_insn code[INSTRUCTIONS_MAX];
	uint32_t count;
};

static int call_bpf(enum bpf_cmd command, union bpf_attr *attributes)
{
	const long r = syscall(SYS_bpf, command, attributes, sizeof *attributes);

	return r < 0 ? -errno : (int)r;
}

static void emit(struct program *program, int code, int to, int from, int offset, int32_t value)
{
	assert(program->count < INSTRUCTIONS_MAX);
	program->code[program->count++] = (struct bpf_insn){
		.code = (uint8_t)code,
		.dst_reg = (uint8_t)(to & 15),
		.src_reg = (uint8_t)(from & 15),
		.off = (int16_t)offset,
		.imm = value,
	};
}

static void move(struct program *program, int to, int from)
{
	emit(program, BPF_ALU64 | BPF_MOV | BPF_X, to, from, 0, 0);
}

static void set(struct program *program, int to, int32_t value)
{
	emit(program, BPF_ALU64 | BPF_MOV | BPF_K, to, 0, 0, value);
}

static void alu(struct program *program, int operation, int to, int from)
{
	emit(program, BPF_ALU64 | operation | BPF_X, to, from, 0, 0);
}

static void load(struct program *program, int size, int to, int from, size_t offset)
{
	emit(program, BPF_LDX | BPF_MEM | size, to, from, (int)offset, 0);
}

static void call(struct program *program, enum bpf_func_id function)
{
	emit(program, BPF_JMP | BPF_CALL, 0, 0, 0, (int32_t)function);
}

/* Two instructions: the address of a map, or of the first byte of an array's only value. */
static void load_map(struct program *program, int to, int kind, int fd)
{
	/* NOLINTNEXTLINE(misc-redundant-expression): two of the parts of this code are 0. */
	emit(program, BPF_LD | BPF_DW | BPF_IMM, to, kind, 0, fd);
	emit(program, 0, 0, 0, 0, 0);
}

/* A jump whose target is not known yet; land() sets it. */
static uint32_t jump(struct program *program, int condition, int left, int right)
{
	emit(program, BPF_JMP | condition | BPF_X, left, right, 0, 0);
	return program->count - 1;
}

static uint32_t jump_if(struct program *program, int condition, int left, int32_t value)
{
	emit(program, BPF_JMP | condition | BPF_K, left, 0, 0, value);
	return program->count - 1;
}

static void land(struct program *program, uint32_t from)
{
	program->code[from].off = (int16_t)(program->count - from - 1);
}

/*
 * One worker: unless it hangs or is closed, its score is load and expected clients, and below
 * that six bits that differ from client to client, so that equals take turns.
 */
static void consider(struct program *program, uint32_t worker)
{
	/* Odd, and far from each other: multiplying with one mixes the hash's bits upwards. */
	const int32_t factor = (int32_t)(2654435761U * (2 * worker + 1));
	const size_t at = worker * sizeof(struct steering_entry);
	uint32_t asleep;
	uint32_t hangs;
	uint32_t closed;
	uint32_t few;
	uint32_t not_better;

	load(program, BPF_DW, R_1, R_ARRAY, at + offsetof(struct steering_entry, turn_ns));
	asleep = jump_if(program, BPF_JEQ, R_1, 0);
	move(program, R_2, R_NOW);
	alu(program, BPF_SUB, R_2, R_1);
	hangs = jump_if(program, BPF_JSGT, R_2, (int32_t)STEERING_STALL_NS);
	land(program, asleep);
	load(program, BPF_DW, R_1, R_ARRAY, at + offsetof(struct steering_entry, load));
	closed = jump_if(program, BPF_JEQ, R_1, (int32_t)STEERING_CLOSED);
	load(program, BPF_DW, R_2, R_ARRAY, at + offsetof(struct steering_entry, expected));
	few = jump_if(program, BPF_JLE, R_2, EXPECTED_MAX);
	set(program, R_2, EXPECTED_MAX);
	land(program, few);
	alu(program, BPF_ADD, R_1, R_2);
	emit(program, BPF_ALU64 | BPF_LSH | BPF_K, R_1, 0, 0, 6);
	emit(program, BPF_ALU | BPF_MOV | BPF_X, R_2, R_HASH, 0, 0);
	emit(program, BPF_ALU | BPF_MUL | BPF_K, R_2, 0, 0, factor);
	emit(program, BPF_ALU | BPF_RSH | BPF_K, R_2, 0, 0, 26);
	alu(program, BPF_OR, R_1, R_2);
	not_better = jump(program, BPF_JGE, R_1, R_BEST_SCORE);
	move(program, R_BEST_SCORE, R_1);
	set(program, R_BEST, (int32_t)worker);
	land(program, hangs);
	land(program, closed);
	land(program, not_better);
}

/* Counts the client to whom it will go: SYNs of one burst come faster than turns. */
static void expect(struct program *program, int array_fd, uint32_t workers)
{
	load_map(program, R_ARRAY, BPF_PSEUDO_MAP_VALUE, array_fd);
	set(program, R_1, 1);
	for (uint32_t i = 0; i < workers; i++) {
		const size_t at = i * sizeof(struct steering_entry) +
			offsetof(struct steering_entry, expected);
		const uint32_t other = jump_if(program, BPF_JNE, R_BEST, (int32_t)i);

		emit(program, BPF_STX | BPF_ATOMIC | BPF_DW, R_ARRAY, R_1, (int)at, BPF_ADD);
		land(program, other);
	}
}

static void write_program(struct program *program, int array_fd, int sockets_fd, uint32_t workers)
{
	uint32_t nobody;

	program->count = 0;
	move(program, R_CONTEXT, R_1);
	call(program, BPF_FUNC_ktime_get_ns);
	move(program, R_NOW, R_RESULT);
	load(program, BPF_W, R_HASH, R_CONTEXT, offsetof(struct sk_reuseport_md, hash));
	load_map(program, R_ARRAY, BPF_PSEUDO_MAP_VALUE, array_fd);
	set(program, R_BEST_SCORE, -1);
	set(program, R_BEST, STEERING_WORKERS_MAX);
	for (uint32_t i = 0; i < workers; i++) {
		consider(program, i);
	}
	nobody = jump_if(program, BPF_JEQ, R_BEST, STEERING_WORKERS_MAX);
	expect(program, array_fd, workers);
	/* The socket may be gone, for it was closed: then the hash decides. */
	emit(program, BPF_STX | BPF_MEM | BPF_W, R_FRAME, R_BEST, -4, 0);
	move(program, R_1, R_CONTEXT);
	load_map(program, R_2, BPF_PSEUDO_MAP_FD, sockets_fd);
	move(program, R_3, R_FRAME);
	/* NOLINTNEXTLINE(misc-redundant-expression): two of the parts of this code are 0. */
	emit(program, BPF_ALU64 | BPF_ADD | BPF_K, R_3, 0, 0, -4);
	set(program, R_4, 0);
	call(program, BPF_FUNC_sk_select_reuseport);
	land(program, nobody);
	set(program, R_RESULT, CHOSEN_BY_HASH);
	emit(program, BPF_JMP | BPF_EXIT, 0, 0, 0, 0);
}

static int load_program(const struct program *program)
{
	union bpf_attr attributes = {0};

	attributes.prog_type = BPF_PROG_TYPE_SK_REUSEPORT;
	attributes.insns = (uintptr_t)program->code;
	attributes.insn_cnt = program->count;
	attributes.license = (uintptr_t) "Dual MIT/GPL";
	memcpy(attributes.prog_name, "loble_steering", sizeof "loble_steering");
	return call_bpf(BPF_PROG_LOAD, &attributes);
}

static int create_map(
	enum bpf_map_type type, uint32_t value_bytes, uint32_t entries, uint32_t flags)
{
	union bpf_attr attributes = {0};

	attributes.map_type = type;
	attributes.key_size = sizeof(uint32_t);
	attributes.value_size = value_bytes;
	attributes.max_entries = entries;
	attributes.map_flags = flags;
	memcpy(attributes.map_name, "loble_steering", sizeof "loble_steering");
	return call_bpf(BPF_MAP_CREATE, &attributes);
}

static int put_socket(int map_fd, uint32_t index, int fd)
{
	const uint64_t value = (uint64_t)fd;
	union bpf_attr attributes = {0};

	attributes.map_fd = (uint32_t)map_fd;
	attributes.key = (uintptr_t)&index;
	attributes.value = (uintptr_t)&value;
	return call_bpf(BPF_MAP_UPDATE_ELEM, &attributes);
}

int steering_create(int *ret_fd, struct error *err)
{
	const int fd = create_map(BPF_MAP_TYPE_ARRAY, ARRAY_BYTES, 1, BPF_F_MMAPABLE);

	if (fd < 0) {
		return error_set(err, -fd, "cannot make a BPF map");
	}
	if (fcntl(fd, F_SETFD, 0) < 0) {
		const int r = error_set(err, errno, "cannot hand a BPF map on");

		(void)close(fd);
		return r;
	}
	*ret_fd = fd;
	return 0;
}

/* /proc tells without any right, and in all versions; bpf() does neither. */
bool steering_is_array(int fd)
{
	char path[64];
	char line[128];
	unsigned type = 0;
	unsigned value_bytes = 0;
	FILE *file;

	(void)snprintf(path, sizeof path, "/proc/self/fdinfo/%d", fd);
	file = fopen(path, "re");
	if (file == NULL) {
		return false;
	}
	while (fgets(line, sizeof line, file) != NULL) {
		unsigned value;

		/* NOLINTNEXTLINE(cert-err34-c): what does not fit is no array of ours. */
		if (sscanf(line, "map_type: %u", &value) == 1) {
			type = value;
		} else if (sscanf(line, "value_size: %u", &value) == 1) { /* NOLINT(cert-err34-c) */
			value_bytes = value;
		}
	}
	(void)fclose(file);
	return type == BPF_MAP_TYPE_ARRAY && value_bytes == ARRAY_BYTES;
}

int steering_map(int fd, uint32_t workers, struct steering *ret_steering, struct error *err)
{
	void *memory;

	assert(workers >= 1 && workers <= STEERING_WORKERS_MAX);

	if (!steering_is_array(fd)) {
		return error_say(err, EINVAL, "descriptor %d is no array of loads", fd);
	}
	memory = mmap(NULL, ARRAY_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (memory == MAP_FAILED) {
		return error_set(err, errno, "cannot map the array of loads");
	}
	*ret_steering = (struct steering){.fd = fd, .workers = workers, .entries = memory};
	return 0;
}

void steering_unmap(struct steering *steering)
{
	if (steering->entries != NULL) {
		(void)munmap(steering->entries, ARRAY_BYTES);
		steering->entries = NULL;
	}
}

static int attach(const int *fds, uint32_t count, int sockets_fd, int program_fd, struct error *err)
{
	for (uint32_t i = 0; i < count; i++) {
		const int r = put_socket(sockets_fd, i, fds[i]);

		if (r < 0) {
			return error_set(err, -r, "cannot put a listening socket into a BPF map");
		}
	}
	if (setsockopt(fds[0], SOL_SOCKET, SO_ATTACH_REUSEPORT_EBPF, &program_fd,
		    sizeof program_fd) < 0) {
		return error_set(err, errno, "cannot attach a BPF program to a listening socket");
	}
	return 0;
}

/* The program for so many workers, and the map that it finds their sockets in: two descriptors. */
static int make_program(
	int array_fd, uint32_t count, int *ret_sockets_fd, int *ret_program_fd, struct error *err)
{
	struct program program;
	const int sockets_fd =
		create_map(BPF_MAP_TYPE_REUSEPORT_SOCKARRAY, sizeof(uint64_t), count, 0);
	int program_fd;

	if (sockets_fd < 0) {
		return error_set(err, -sockets_fd, "cannot make a BPF map of sockets");
	}
	write_program(&program, array_fd, sockets_fd, count);
	program_fd = load_program(&program);
	if (program_fd < 0) {
		(void)close(sockets_fd);
		return error_set(err, -program_fd, "cannot load a BPF program");
	}
	*ret_sockets_fd = sockets_fd;
	*ret_program_fd = program_fd;
	return 0;
}

/* The kernel keeps map and program as long as the sockets; nobody else needs them. */
int steering_attach(int array_fd, const int *fds, uint32_t count, struct error *err)
{
	int sockets_fd = -1;
	int program_fd = -1;
	int r;

	assert(count >= 1 && count <= STEERING_WORKERS_MAX);

	r = make_program(array_fd, count, &sockets_fd, &program_fd, err);
	if (r < 0) {
		return r;
	}
	r = attach(fds, count, sockets_fd, program_fd, err);
	(void)close(program_fd);
	(void)close(sockets_fd);
	return r;
}

void steering_detach(int fd)
{
	const int unused = 0;

	(void)setsockopt(fd, SOL_SOCKET, SO_DETACH_REUSEPORT_BPF, &unused, sizeof unused);
}

int steering_try(struct error *err)
{
	int array_fd = -1;
	int sockets_fd = -1;
	int program_fd = -1;
	int r = steering_create(&array_fd, err);

	if (r < 0) {
		return r;
	}
	r = make_program(array_fd, 1, &sockets_fd, &program_fd, err);
	if (r == 0) {
		(void)close(program_fd);
		(void)close(sockets_fd);
	}
	(void)close(array_fd);
	return r;
}
