#include "log_writer.h"
#include "support/leak.h"
#include "support/wait.h"

#include <causeway/error.h>
#include <causeway/log.h>
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static char folder[64];
static char path[96];
static atomic_int complaints;

static void count_complaint(enum cw_log_level level, uint64_t conn_id, const char *text, void *user)
{
    atomic_fetch_add(&complaints, 1);
}

static void begin(void)
{
    snprintf(folder, sizeof folder, "/tmp/cw-log-writer-XXXXXX");
    cr_assert_not_null(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/access.log", folder);
    cw_log_set(count_complaint, NULL);
}

static void end(void)
{
    unlink(path);
    rmdir(folder);
    rig_expect_no_leak();
}

TestSuite(log_writer, .init = begin, .fini = end, .timeout = 60);

static struct cw_log_writer *start(const struct cw_log_sink *sink)
{
    struct cw_log_sink whole = *sink;
    struct cw_log_writer *writer = NULL;
    const char *step;

    whole.waiting_max_bytes = sink->waiting_max_bytes ? sink->waiting_max_bytes : 1048576;
    whole.stop_ms = sink->stop_ms ? sink->stop_ms : RIG_DEADLINE_MS;
    cr_assert_eq(cw_log_writer_start(&writer, &whole, &step), 0, "%s: %s", step, strerror(errno));
    return writer;
}

/* One line, in a batch of its own. False: there is no room for it. */
static bool put_line(struct cw_log_writer *writer, const char *text)
{
    struct cw_log_batch *batch = cw_log_writer_take(writer);

    if (!batch) {
        cw_log_writer_lost(writer, 1);
        return false;
    }
    batch->len = (size_t)snprintf((char *)batch->bytes, sizeof batch->bytes, "%s\n", text);
    batch->lines = 1;
    cw_log_writer_put(writer, batch);
    return true;
}

static size_t read_file(const char *name, char *text, size_t cap)
{
    FILE *file = fopen(name, "r");
    size_t len = file ? fread(text, 1, cap - 1, file) : 0;

    text[len] = '\0';
    if (file) {
        fclose(file);
    }
    return len;
}

static bool holds(const char *name, const char *expected)
{
    char text[256];

    read_file(name, text, sizeof text);
    return strcmp(text, expected) == 0;
}

Test(log_writer, lines_are_appended_in_order_and_all_are_there_at_the_end)
{
    static char text[200000];
    struct cw_log_writer *writer =
        start(&(struct cw_log_sink){.path = path, .waiting_max_bytes = 16777216});

    for (int i = 0; i < 1000; i++) {
        char line[32];
        snprintf(line, sizeof line, "line %d", i);
        cr_assert(put_line(writer, line));
    }
    cw_log_writer_end(writer);
    writer = start(&(struct cw_log_sink){.path = path});
    put_line(writer, "line 1000");
    cw_log_writer_end(writer);
    read_file(path, text, sizeof text);
    char *at = text;
    for (int i = 0; i <= 1000; i++) {
        char line[32];
        size_t len = (size_t)snprintf(line, sizeof line, "line %d\n", i);
        cr_assert_eq(memcmp(at, line, len), 0, "%d", i);
        at += len;
    }
    cr_expect_eq(*at, '\0');
    cr_expect_eq(atomic_load(&complaints), 0);
}

Test(log_writer, the_file_is_not_for_everybody)
{
    struct stat status;

    cw_log_writer_end(start(&(struct cw_log_sink){.path = path}));
    cr_assert_eq(stat(path, &status), 0);
    cr_expect_eq(status.st_mode & 0007, 0);
}

Test(log_writer, a_file_that_was_moved_away_is_begun_anew)
{
    char moved[128];
    struct cw_log_writer *writer = start(&(struct cw_log_sink){.path = path});

    put_line(writer, "before");
    rig_await(holds(path, "before\n"));
    snprintf(moved, sizeof moved, "%s.1", path);
    cr_assert_eq(rename(path, moved), 0);
    put_line(writer, "behind");
    cw_log_writer_end(writer);
    cr_expect(holds(moved, "before\n"));
    cr_expect(holds(path, "behind\n"));
    unlink(moved);
}

Test(log_writer, a_file_that_was_put_in_its_place_is_gone_on_with)
{
    char moved[128];
    struct cw_log_writer *writer = start(&(struct cw_log_sink){.path = path});

    put_line(writer, "before");
    rig_await(holds(path, "before\n"));
    snprintf(moved, sizeof moved, "%s.1", path);
    cr_assert_eq(rename(path, moved), 0);
    FILE *other = fopen(path, "w");
    cr_assert_not_null(other);
    fputs("other\n", other);
    fclose(other);
    put_line(writer, "behind");
    cw_log_writer_end(writer);
    cr_expect(holds(moved, "before\n"));
    cr_expect(holds(path, "other\nbehind\n"));
    unlink(moved);
}

Test(log_writer, a_file_that_cannot_be_opened_is_an_error)
{
    struct cw_log_writer *writer = NULL;
    const char *step;

    errno = 0;
    cr_expect_lt(cw_log_writer_start(&writer, &(struct cw_log_sink){.path = folder}, &step), 0);
    cr_expect_str_eq(step, "open");
    cr_expect_eq(errno, EISDIR);
    cr_expect_null(writer);
}

/* A function that waits until it is let go. */
struct gate {
    pthread_mutex_t lock;
    atomic_int inside;
    char text[256];
};

static void wait_at_gate(struct cw_span lines, void *user)
{
    struct gate *gate = user;

    atomic_fetch_add(&gate->inside, 1);
    pthread_mutex_lock(&gate->lock);
    strncat(gate->text, (const char *)lines.data, lines.len);
    pthread_mutex_unlock(&gate->lock);
}

Test(log_writer, while_the_sink_blocks_lines_wait_up_to_the_limit_and_then_are_lost)
{
    struct gate gate = {.lock = PTHREAD_MUTEX_INITIALIZER};
    struct cw_log_writer *writer =
        start(&(struct cw_log_sink){.write = wait_at_gate, .user = &gate, .waiting_max_bytes = 10});

    pthread_mutex_lock(&gate.lock);
    cr_assert(put_line(writer, "aaaa"));
    cr_assert(put_line(writer, "bbbb"));
    cr_expect_not(put_line(writer, "cccc"));
    rig_await(atomic_load(&gate.inside) == 1);
    pthread_mutex_unlock(&gate.lock);
    cw_log_writer_end(writer);
    cr_expect_str_eq(gate.text, "aaaa\nbbbb\n");
    cr_expect_eq(atomic_load(&complaints), 1);
}

Test(log_writer, short_batches_that_wait_are_put_together)
{
    struct gate gate = {.lock = PTHREAD_MUTEX_INITIALIZER};
    struct cw_log_writer *writer =
        start(&(struct cw_log_sink){.write = wait_at_gate, .user = &gate});
    const struct cw_log_batch *seen[4] = {NULL};

    pthread_mutex_lock(&gate.lock);
    put_line(writer, "0");
    rig_await(atomic_load(&gate.inside) == 1);
    for (int i = 1; i <= 100; i++) {
        struct cw_log_batch *batch = cw_log_writer_take(writer);
        size_t at = 0;
        while (at < 4 && seen[at] && seen[at] != batch) {
            at++;
        }
        cr_assert_lt(at, 3, "three batches do for all");
        seen[at] = batch;
        batch->len = (size_t)sprintf((char *)batch->bytes, "%d\n", i % 10);
        batch->lines = 1;
        cw_log_writer_put(writer, batch);
    }
    pthread_mutex_unlock(&gate.lock);
    cw_log_writer_end(writer);
    cr_expect_eq(strlen(gate.text), 2 * 101);
    for (int i = 0; i <= 100; i++) {
        cr_expect_eq(gate.text[2 * i], '0' + i % 10);
    }
}

Test(log_writer, a_pipe_that_nobody_empties_does_not_keep_the_server)
{
    int ends[2];

    cr_assert_eq(pipe(ends), 0);
    struct cw_log_writer *writer =
        start(&(struct cw_log_sink){.fd = ends[1], .stop_ms = 50, .waiting_max_bytes = 16777216});
    for (int i = 0; i < 20; i++) {
        struct cw_log_batch *batch = cw_log_writer_take(writer);
        memset(batch->bytes, 'x', sizeof batch->bytes);
        batch->len = sizeof batch->bytes;
        batch->lines = 1;
        cw_log_writer_put(writer, batch);
    }
    cw_log_writer_end(writer);
    cr_expect_geq(atomic_load(&complaints), 1);
    close(ends[0]);
    close(ends[1]);
}

Test(log_writer, a_pipe_that_nobody_reads_any_more_loses_lines_and_ends_nothing)
{
    int ends[2];

    cr_assert_eq(pipe(ends), 0);
    struct cw_log_writer *writer = start(&(struct cw_log_sink){.fd = ends[1]});
    close(ends[0]);
    put_line(writer, "lost");
    cw_log_writer_end(writer);
    cr_expect_eq(atomic_load(&complaints), 1);
    close(ends[1]);
}

Test(log_writer, a_slow_pipe_gets_every_line_whole)
{
    int ends[2];
    static char text[400001];
    size_t got = 0;

    cr_assert_eq(pipe(ends), 0);
    struct cw_log_writer *writer =
        start(&(struct cw_log_sink){.fd = ends[1], .waiting_max_bytes = 16777216});
    struct cw_log_batch *batch = NULL;
    for (int i = 0; i < 40000; i++) {
        batch = batch ? batch : cw_log_writer_take(writer);
        batch->len += (size_t)sprintf((char *)batch->bytes + batch->len, "%08d\n", i);
        batch->lines++;
        if (batch->len > CW_LOG_BATCH_BYTES - 20 || i == 39999) {
            cw_log_writer_put(writer, batch);
            batch = NULL;
        }
    }
    while (got < 360000) {
        ssize_t some = read(ends[0], text + got, 1000);
        cr_assert_gt(some, 0);
        got += (size_t)some;
    }
    for (int i = 0; i < 40000; i++) {
        char line[16];
        snprintf(line, sizeof line, "%08d\n", i);
        cr_assert_eq(memcmp(text + (size_t)9 * (size_t)i, line, 9), 0, "line %d", i);
    }
    cw_log_writer_end(writer);
    close(ends[0]);
    close(ends[1]);
}
