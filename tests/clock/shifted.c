/* Runs a program under a wall clock that is off: each time it reads CLOCK_REALTIME it gets the machine's plus the nanoseconds that FILE holds at that
 * moment (a signed 64-bit number). The machine's own clock, which everybody shares, is left alone. usage: shifted FILE PROGRAM [ARGUMENT...]
 *
 * Works with a static program too: the clock call is taken by a seccomp filter and answered by a process beside it, and so that it is a call at all, the
 * new program is left without a vDSO. The program keeps the process number of `shifted`. Needs root.
 */
#define _GNU_SOURCE
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static void fail(const char *what)
{
	fprintf(stderr, "shifted: %s: %s\n", what, strerror(errno));
	exit(125);
}

/* Has every reading of the two wall clocks wait for an answer; gives the end that answers. */
static int filter_clock(void)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_clock_gettime, 0, 3),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[0])),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, CLOCK_REALTIME, 2, 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, CLOCK_REALTIME_COARSE, 1, 0),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_USER_NOTIF),
	};
	struct sock_fprog program = { sizeof code / sizeof *code, code };
	int listener = syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_NEW_LISTENER, &program);
	if (listener < 0)
		fail("seccomp");
	return listener;
}

static void send_descriptor(int socket, int descriptor)
{
	char byte = 0, control[CMSG_SPACE(sizeof descriptor)] = { 0 };
	struct iovec part = { &byte, 1 };
	struct msghdr message = { .msg_iov = &part, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control };
	struct cmsghdr *header = CMSG_FIRSTHDR(&message);
	header->cmsg_level = SOL_SOCKET;
	header->cmsg_type = SCM_RIGHTS;
	header->cmsg_len = CMSG_LEN(sizeof descriptor);
	memcpy(CMSG_DATA(header), &descriptor, sizeof descriptor);
	if (sendmsg(socket, &message, 0) != 1)
		fail("sendmsg");
}

static int receive_descriptor(int socket)
{
	int descriptor;
	char byte, control[CMSG_SPACE(sizeof descriptor)];
	struct iovec part = { &byte, 1 };
	struct msghdr message = { .msg_iov = &part, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control };
	if (recvmsg(socket, &message, 0) != 1 || !CMSG_FIRSTHDR(&message))
		fail("recvmsg");
	memcpy(&descriptor, CMSG_DATA(CMSG_FIRSTHDR(&message)), sizeof descriptor);
	return descriptor;
}

/* Waits until the process has become the program, and takes the vDSO from it: out of its auxiliary vector, which lies behind arguments and environment, and,
 * since some ask the kernel for that vector, by spoiling the first bytes of the vDSO itself, in this process's own copy of it. */
static void strike_vdso(pid_t pid)
{
	int status;
	struct user_regs_struct registers;
	if (waitpid(pid, &status, __WALL) != pid || !WIFSTOPPED(status) || ptrace(PTRACE_GETREGS, pid, 0, &registers))
		fail("the program did not start");
	uint64_t *word = (uint64_t *)registers.rsp;
	long value = ptrace(PTRACE_PEEKDATA, pid, word, 0);
	word += value + 2;
	while (ptrace(PTRACE_PEEKDATA, pid, word++, 0))
		;
	while ((value = ptrace(PTRACE_PEEKDATA, pid, word, 0)) != AT_NULL) {
		if (value == AT_SYSINFO_EHDR) {
			long vdso = ptrace(PTRACE_PEEKDATA, pid, word + 1, 0);
			if (ptrace(PTRACE_POKEDATA, pid, word, AT_IGNORE) || ptrace(PTRACE_POKEDATA, pid, vdso, 0))
				fail("the vDSO");
		}
		word += 2;
	}
	if (ptrace(PTRACE_DETACH, pid, 0, 0))
		fail("detach");
}

static void answer(int listener, int memory, const volatile int64_t *offset)
{
	struct seccomp_notif request;
	for (;;) {
		memset(&request, 0, sizeof request);
		if (ioctl(listener, SECCOMP_IOCTL_NOTIF_RECV, &request)) {
			if (errno == EINTR)
				continue;
			/* The program has ended. */
			exit(0);
		}
		struct timespec now;
		clock_gettime(request.data.args[0], &now);
		int64_t nanoseconds = now.tv_sec * 1000000000LL + now.tv_nsec + *offset;
		now.tv_sec = nanoseconds / 1000000000LL;
		now.tv_nsec = nanoseconds % 1000000000LL;
		struct seccomp_notif_resp response = { .id = request.id };
		if (pwrite(memory, &now, sizeof now, request.data.args[1]) != sizeof now)
			response.error = -EFAULT;
		/* A thread that was killed meanwhile needs no answer. */
		ioctl(listener, SECCOMP_IOCTL_NOTIF_SEND, &response);
	}
}

int main(int count, char **arguments)
{
	if (count < 3) {
		fprintf(stderr, "usage: shifted FILE PROGRAM [ARGUMENT...]\n");
		return 125;
	}
	int sockets[2];
	pid_t program = getpid();
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sockets))
		fail("socketpair");
	pid_t helper = fork();
	if (helper < 0)
		fail("fork");
	if (helper > 0) {
		char byte;
		send_descriptor(sockets[0], filter_clock());
		if (read(sockets[0], &byte, 1) != 1)
			fail("the helper");
		execvp(arguments[2], arguments + 2);
		fail(arguments[2]);
	}
	int file = open(arguments[1], O_RDONLY | O_CLOEXEC);
	int64_t *offset = file < 0 ? MAP_FAILED : mmap(NULL, sizeof *offset, PROT_READ, MAP_SHARED, file, 0);
	if (offset == MAP_FAILED)
		fail(arguments[1]);
	int listener = receive_descriptor(sockets[1]);
	if (ptrace(PTRACE_SEIZE, program, 0, PTRACE_O_TRACEEXEC))
		fail("ptrace");
	if (write(sockets[1], "", 1) != 1)
		fail("write");
	strike_vdso(program);
	char path[64];
	snprintf(path, sizeof path, "/proc/%d/mem", program);
	int memory = open(path, O_RDWR | O_CLOEXEC);
	if (memory < 0)
		fail(path);
	answer(listener, memory, offset);
}
