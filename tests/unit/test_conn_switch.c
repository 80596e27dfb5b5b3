/* Where the state of a protocol stands after a switch, and what a connection still holds then. */
#include "conn_impl.h"
#include "support/leak.h"
#include "support/rig.h"

#include <criterion/criterion.h>

TestSuite(conn_switch, .fini = rig_expect_no_leak, .timeout = 30);

enum { SMALL = 8, MIDDLE = 24, LARGE = 200 };

static struct cw_service_ref *next_service;
static size_t drops;
static bool closes_late; /* its own on_close(CW_SWITCHED) closes the connection */

static size_t dirty_bytes(struct cw_conn *conn)
{
    const uint8_t *state = cw_conn_state(conn);
    size_t dirty = 0;

    for (size_t i = 0; i < cw_conn_protocol(conn)->state_size; i++) {
        dirty += state[i] != 0;
    }
    return dirty;
}

/* Its state is zero at first, and full from then on. */
static int open_clean(struct cw_conn *conn, void *state, void *handover)
{
    cr_assert_eq(state, cw_conn_state(conn));
    cr_assert_eq(dirty_bytes(conn), 0);
    memset(state, 0xff, cw_conn_protocol(conn)->state_size);
    return 0;
}

static int open_later(struct cw_conn *conn, void *state, void *handover)
{
    return 1;
}

static int open_never(struct cw_conn *conn, void *state, void *handover)
{
    return CW_EPROTO;
}

static void expect_full(struct cw_conn *conn, void *state)
{
    cr_assert_eq(dirty_bytes(conn), cw_conn_protocol(conn)->state_size);
}

static void drop(void *handover)
{
    drops++;
}

/* `s` asks for the next service; what comes behind it is that one's. */
static ptrdiff_t switch_at_s(struct cw_conn *conn, void *state, uint8_t *data, size_t len)
{
    const struct cw_message msg = {.body = {data, 1}};

    if (data[0] == 's') {
        cr_assert_eq(cw_conn_switch(conn, next_service, &drops, drop), CW_OK);
    } else {
        cw_conn_deliver(conn, &msg);
    }
    return 1;
}

static ptrdiff_t ready_at_once(struct cw_conn *conn, void *state, uint8_t *data, size_t len)
{
    cw_conn_ready(conn);
    return (ptrdiff_t)len;
}

#define PROTOCOL(NAME, SIZE)                                                                       \
    static const struct cw_protocol NAME = {.name = #NAME,                                         \
                                            .state_size = SIZE,                                    \
                                            .open = open_clean,                                    \
                                            .on_bytes = switch_at_s,                               \
                                            .close = expect_full}

PROTOCOL(small, SMALL);
PROTOCOL(middle, MIDDLE);
PROTOCOL(large, LARGE);

static const struct cw_protocol slow = {
    .name = "slow", .open = open_later, .on_bytes = ready_at_once};
static const struct cw_protocol refusing = {
    .name = "refusing", .state_size = LARGE, .open = open_never, .on_bytes = ready_at_once};

static void keep_idle(struct cw_conn *conn, void *user)
{
    cw_conn_set_idle(conn, 1000);
}

static void close_on_switch(struct cw_conn *conn, const struct cw_close_reason *reason, void *user)
{
    if (closes_late && reason->code == CW_SWITCHED) {
        cw_conn_close(conn);
    }
}

static struct rig *switched(struct rig *rig, const struct cw_protocol *to,
                            const struct cw_hooks *hooks)
{
    struct cw_service service = {.protocol = to, .hooks = hooks};

    next_service = cw_service_new(&service, NULL);
    cr_assert_not_null(next_service);
    rig_feed(rig, "s", 1);
    cw_service_free(next_service);
    return rig;
}

static struct rig *begun(const struct cw_protocol *protocol)
{
    drops = 0;
    return rig_new(&(struct rig_setup){.protocol = protocol});
}

Test(conn_switch, a_state_that_fits_takes_the_place_of_the_old_one)
{
    struct rig *rig = switched(begun(&middle), &small, NULL);

    cr_expect_eq(cw_conn_state(rig->conn), (void *)rig->conn->state);
    cr_expect_null(rig->conn->extra, "nothing of it is needed any more");
    switched(rig, &middle, NULL);
    cr_expect_eq(cw_conn_state(rig->conn), (void *)rig->conn->state, "the room is the first one's");
    cr_expect_null(rig->conn->extra);
    rig_free(rig);
}

Test(conn_switch, a_larger_state_stands_outside_until_one_comes_that_fits)
{
    struct rig *rig = switched(begun(&small), &large, NULL);

    cr_expect_neq(cw_conn_state(rig->conn), (void *)rig->conn->state);
    switched(rig, &middle, NULL);
    cr_expect_neq(cw_conn_state(rig->conn), (void *)rig->conn->state);
    switched(rig, &small, NULL);
    cr_expect_eq(cw_conn_state(rig->conn), (void *)rig->conn->state);
    cr_expect_null(rig->conn->extra);
    rig_free(rig);
}

Test(conn_switch, what_a_hook_has_set_stays)
{
    struct rig *rig =
        switched(begun(&small), &small, &(struct cw_hooks){.on_connection = keep_idle});

    cr_assert_not_null(rig->conn->extra);
    cr_expect_eq(rig->conn->extra->idle, cw_ticks(1000));
    switched(rig, &small, NULL);
    cr_assert_not_null(rig->conn->extra, "a switch does not change it");
    cr_expect_eq(rig->conn->extra->idle, cw_ticks(1000));
    rig_free(rig);
}

Test(conn_switch, the_time_of_the_switch_is_kept_until_the_new_protocol_is_open)
{
    struct rig *rig = switched(begun(&small), &slow, NULL);

    cr_assert_not_null(rig->conn->extra);
    cr_expect_neq(rig->conn->extra->switched, 0);
    rig_feed(rig, "x", 1);
    cr_expect(rig->conn->flags & CW_OPENED);
    rig_free(rig);
}

Test(conn_switch, a_handover_that_nobody_takes_is_dropped_once)
{
    struct rig *rig = switched(begun(&small), &refusing, NULL);

    cr_expect_eq(drops, 1);
    rig_free(rig);

    rig = begun(&small);
    switched(rig, &small, &(struct cw_hooks){.on_close = close_on_switch});
    cr_expect_eq(drops, 0, "open has it");
    closes_late = true;
    switched(rig, &large, NULL);
    cr_expect_eq(drops, 1);
    rig_free(rig);
}

Test(conn_switch, a_connection_and_its_state_fit_into_few_of_malloc_s_steps)
{
    /* With what libevent and the tables take, one step more would be above 400 bytes for an idle connection. */
    cr_expect_leq(sizeof(struct cw_conn) + MIDDLE + 8, 304);
}
