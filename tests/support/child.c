/* A program in a process of its own. */
#include "support/child.h"

#include "support/wait.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

static int begin(struct rig_child *child, int input)
{
    int ends[2];
    int answer;

    memset(child, 0, sizeof *child);
    child->in = -1;
    rig_check(pipe2(ends, O_CLOEXEC) == 0);
    answer = child->pid = fork();
    rig_check(answer >= 0);
    if (answer == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (input >= 0) {
            dup2(input, STDIN_FILENO);
        }
        dup2(ends[1], STDOUT_FILENO);
        dup2(ends[1], STDERR_FILENO);
        close(ends[0]);
    }
    close(ends[1]);
    child->out = ends[0];
    return answer;
}

static void become(const char *path, char *const *arguments)
{
    execv(path, arguments);
    fprintf(stderr, "cannot start %s: %s\n", path, strerror(errno));
    _exit(127);
}

void rig_child_start(struct rig_child *child, const char *path, char *const *arguments)
{
    if (begin(child, -1) == 0) {
        become(path, arguments);
    }
}

void rig_child_start_fed(struct rig_child *child, const char *path, char *const *arguments)
{
    int ends[2];

    rig_check(pipe2(ends, O_CLOEXEC) == 0);
    if (begin(child, ends[0]) == 0) {
        become(path, arguments);
    }
    close(ends[0]);
    child->in = ends[1];
}

void rig_child_type(struct rig_child *child, const char *line)
{
    size_t len = strlen(line);

    rig_check(write(child->in, line, len) == (ssize_t)len);
    rig_check(write(child->in, "\n", 1) == 1);
}

void rig_child_end_input(struct rig_child *child)
{
    if (child->in >= 0) {
        close(child->in);
        child->in = -1;
    }
}

void rig_child_fork(struct rig_child *child, int (*fn)(void *arg), void *arg)
{
    if (begin(child, -1) == 0) {
        int answer = fn(arg);
        fflush(NULL);
        _exit(answer);
    }
}

/* Reads some more. False: it has closed its output. */
static bool read_more(struct rig_child *child, uint64_t deadline)
{
    struct pollfd poll_fd = {.fd = child->out, .events = POLLIN};
    uint64_t now = rig_now_ms();
    size_t room = sizeof child->text - 1 - child->len;
    ssize_t n;

    if (now >= deadline || poll(&poll_fd, 1, (int)(deadline - now)) <= 0) {
        rig_fail(__FILE__, __LINE__, "the child says no more than: %s", child->text);
    }
    rig_check(room > 0);
    n = read(child->out, child->text + child->len, room);
    if (n <= 0) {
        return false;
    }
    child->len += (size_t)n;
    child->text[child->len] = '\0';
    return true;
}

void rig_child_await_text(struct rig_child *child, const char *text)
{
    uint64_t deadline = rig_now_ms() + RIG_DEADLINE_MS;

    for (;;) {
        const char *at = strstr(child->text, text);
        if (at && strchr(at, '\n')) {
            return;
        }
        if (!read_more(child, deadline)) {
            rig_fail(__FILE__, __LINE__, "the child has ended without \"%s\": %s", text,
                     child->text);
        }
    }
}

void rig_child_forget(struct rig_child *child)
{
    child->len = 0;
    child->text[0] = '\0';
}

void rig_child_signal(const struct rig_child *child, int number)
{
    rig_check(kill(child->pid, number) == 0);
}

int rig_child_join(struct rig_child *child)
{
    uint64_t deadline = rig_now_ms() + RIG_DEADLINE_MS;
    int status = 0;

    rig_child_end_input(child);
    while (read_more(child, deadline)) {}
    close(child->out);
    rig_check(waitpid(child->pid, &status, 0) == child->pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
}

long rig_child_cpu_ms(const struct rig_child *child)
{
    char path[64];
    char text[1024] = "";
    const char *at;
    unsigned long user = 0;
    unsigned long system = 0;
    FILE *file;

    snprintf(path, sizeof path, "/proc/%d/stat", (int)child->pid);
    file = fopen(path, "re");
    rig_check(file);
    rig_check(fgets(text, sizeof text, file));
    fclose(file);
    at = strrchr(text, ')'); /* the name may hold anything */
    rig_check(at);
    rig_check(sscanf(at + 1, " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &user,
                     &system) == 2);
    return (long)((user + system) * 1000 / (unsigned long)sysconf(_SC_CLK_TCK));
}
