#ifndef CAUSEWAY_TESTS_CHILD_H
#define CAUSEWAY_TESTS_CHILD_H

/* A program in a process of its own, its standard output and error read together. */

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct rig_child {
    pid_t pid;
    int out;          /* what it prints */
    int in;           /* what it reads, when it was started fed; otherwise -1 */
    char text[16384]; /* … so far, with a terminator */
    size_t len;
};

/* Starts a program. arguments: its argv, ended with NULL. */
void rig_child_start(struct rig_child *child, const char *path, char *const *arguments);

/* The same, and what it reads comes from the test: write to child->in. rig_child_join ends that. */
void rig_child_start_fed(struct rig_child *child, const char *path, char *const *arguments);

/* Types a line; its end is added. */
void rig_child_type(struct rig_child *child, const char *line);

/* Ends what it reads: Ctrl-D. */
void rig_child_end_input(struct rig_child *child);

/* Runs fn(arg) in a child process, which ends with what it returns. What it prints is read too. */
void rig_child_fork(struct rig_child *child, int (*fn)(void *arg), void *arg);

/* Waits until it has printed a line with this text. Fails the test when it does not. */
void rig_child_await_text(struct rig_child *child, const char *text);

/* Drops what it has printed so far. */
void rig_child_forget(struct rig_child *child);

void rig_child_signal(const struct rig_child *child, int number);

/* Waits until it has ended. Returns its exit status, or 1000 + the signal that ended it. child->text is whole then. */
int rig_child_join(struct rig_child *child);

/* How much processor time it has used so far, in milliseconds. */
long rig_child_cpu_ms(const struct rig_child *child);

#endif
