/* Work handed to a loop from another thread. */
#include "mailbox.h"
#include "support/leak.h"
#include "support/wait.h"

#include <causeway/error.h>
#include <criterion/criterion.h>
#include <poll.h>
#include <pthread.h>
#include <unistd.h>

static struct cw_mailbox box;

static void open_box(void)
{
    cr_assert_eq(cw_mailbox_init(&box, 100, 1000), CW_OK);
}

static void release_box(void)
{
    cw_mailbox_release(&box);
    rig_expect_no_leak();
}

TestSuite(mailbox, .init = open_box, .fini = release_box, .timeout = 60);

static uint64_t seen[100000];
static size_t seen_count;

static void note(struct cw_loop *loop, struct cw_mail *mail)
{
    seen[seen_count++] = mail->conn_id;
}

static int put(uint64_t number, size_t bytes, enum cw_mail_class how)
{
    return cw_mailbox_put(&box, &(struct cw_mail){.fn = note, .conn_id = number, .bytes = bytes},
                          how);
}

static bool is_awake(void)
{
    struct pollfd poll_fd = {.fd = box.wake_fd, .events = POLLIN};

    return poll(&poll_fd, 1, 0) == 1;
}

Test(mailbox, mail_runs_in_order_and_once)
{
    for (uint64_t i = 0; i < 100; i++) {
        cr_expect_eq(put(i, 0, CW_MAIL_BOUNDED), CW_OK);
    }
    cr_expect(cw_mailbox_has_mail(&box));
    cr_expect_eq(cw_mailbox_run(&box, NULL), 100);
    cr_expect(!cw_mailbox_has_mail(&box));
    cr_expect_eq(seen_count, 100);
    for (uint64_t i = 0; i < 100; i++) {
        cr_expect_eq(seen[i], i);
    }
    cr_expect_eq(cw_mailbox_run(&box, NULL), 0);
}

Test(mailbox, the_loop_is_woken_once_for_a_batch)
{
    uint64_t writes;

    cr_expect(!is_awake());
    put(1, 0, CW_MAIL_BOUNDED);
    put(2, 0, CW_MAIL_BOUNDED);
    put(3, 0, CW_MAIL_MUST);
    cr_expect(is_awake());
    cr_expect_eq(read(box.wake_fd, &writes, sizeof writes), sizeof writes);
    cr_expect_eq(writes, 1);
    cr_expect_eq(cw_mailbox_run(&box, NULL), 3);
    cr_expect(!is_awake());
    put(4, 0, CW_MAIL_BOUNDED);
    cr_expect(is_awake());
}

Test(mailbox, the_limit_passes_and_one_more_is_refused)
{
    for (uint64_t i = 0; i < 100; i++) {
        cr_expect_eq(put(i, 0, CW_MAIL_BOUNDED), CW_OK);
    }
    cr_expect_eq(put(100, 0, CW_MAIL_BOUNDED), CW_EFULL);
    cr_expect_eq(put(101, 0, CW_MAIL_MUST), CW_OK);
    cr_expect_eq(cw_mailbox_run(&box, NULL), 101);
    cr_expect_eq(put(102, 0, CW_MAIL_BOUNDED), CW_OK);
}

Test(mailbox, bytes_are_limited_exactly_too)
{
    cr_expect_eq(put(1, 600, CW_MAIL_BOUNDED), CW_OK);
    cr_expect_eq(put(2, 401, CW_MAIL_BOUNDED), CW_EFULL);
    cr_expect_eq(put(3, 400, CW_MAIL_BOUNDED), CW_OK);
    cr_expect_eq(put(4, 1, CW_MAIL_BOUNDED), CW_EFULL);
    cr_expect_eq(put(5, 0, CW_MAIL_BOUNDED), CW_OK);
    cr_expect_eq(put(6, 5000, CW_MAIL_MUST), CW_OK);
    cr_expect_eq(put(7, 1, CW_MAIL_BOUNDED), CW_EFULL, "above the limit nothing wraps");
    cr_expect_eq(put(8, SIZE_MAX, CW_MAIL_BOUNDED), CW_EFULL);
    cr_expect_eq(cw_mailbox_run(&box, NULL), 4);
    cr_expect_eq(put(9, 1000, CW_MAIL_BOUNDED), CW_OK);
}

Test(mailbox, a_closed_one_takes_nothing_and_runs_what_it_has)
{
    put(1, 0, CW_MAIL_BOUNDED);
    cw_mailbox_close(&box);
    cr_expect_eq(put(2, 0, CW_MAIL_BOUNDED), CW_ESTOPPED);
    cr_expect_eq(put(3, 0, CW_MAIL_MUST), CW_ESTOPPED);
    cr_expect_eq(cw_mailbox_run(&box, NULL), 1);
    cr_expect_eq(seen[0], 1);
}

static void put_another(struct cw_loop *loop, struct cw_mail *mail)
{
    note(loop, mail);
    if (mail->conn_id < 1000) {
        cr_assert_eq(
            cw_mailbox_put(&box, &(struct cw_mail){.fn = put_another, .conn_id = mail->conn_id + 1},
                           CW_MAIL_BOUNDED),
            CW_OK);
    }
}

Test(mailbox, mail_put_by_mail_runs_next_time)
{
    cr_assert_eq(
        cw_mailbox_put(&box, &(struct cw_mail){.fn = put_another, .conn_id = 998}, CW_MAIL_BOUNDED),
        CW_OK);
    cr_expect_eq(cw_mailbox_run(&box, NULL), 1);
    cr_expect(is_awake());
    cr_expect_eq(cw_mailbox_run(&box, NULL), 1);
    cr_expect_eq(cw_mailbox_run(&box, NULL), 1);
    cr_expect_eq(cw_mailbox_run(&box, NULL), 0);
    cr_expect_eq(seen_count, 3);
}

/* ---- several threads ---- */

enum { THREADS = 4, EACH = 20000 };

static void *put_many(void *arg)
{
    uint64_t base = *(uint64_t *)arg;

    for (uint64_t i = 0; i < EACH; i++) {
        while (put(base + i, 0, CW_MAIL_BOUNDED) == CW_EFULL) {
            rig_rest(0);
        }
    }
    return NULL;
}

Test(mailbox, each_threads_mail_keeps_its_order)
{
    pthread_t threads[THREADS];
    uint64_t bases[THREADS];
    uint64_t next[THREADS] = {0};

    for (int i = 0; i < THREADS; i++) {
        bases[i] = (uint64_t)i << 32;
        cr_assert_eq(pthread_create(&threads[i], NULL, put_many, &bases[i]), 0);
    }
    while (seen_count < (size_t)THREADS * EACH) {
        struct pollfd poll_fd = {.fd = box.wake_fd, .events = POLLIN};
        cr_assert_eq(poll(&poll_fd, 1, RIG_DEADLINE_MS), 1, "a wake-up was lost after %zu",
                     seen_count);
        cw_mailbox_run(&box, NULL);
    }
    for (int i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
    }
    for (size_t i = 0; i < seen_count; i++) {
        uint64_t thread = seen[i] >> 32;
        cr_assert_eq(seen[i] & UINT32_MAX, next[thread]++);
    }
}
