/* Who is asked about a datagram, in which order, and who decides. */
#include "server_impl.h"
#include "support/leak.h"

#include <causeway/udp.h>
#include <criterion/criterion.h>

TestSuite(middleware_datagram, .fini = rig_expect_no_leak, .timeout = 30);

struct rule {
    struct cw_conn_middleware table; /* first: self is both */
    int answer;
    unsigned asked;
    const struct cw_datagram *from;
    size_t len;
};

static int on_datagram(struct cw_conn_middleware *self, struct cw_loop *loop,
                       const struct cw_datagram *from, size_t len)
{
    struct rule *rule = (struct rule *)self;

    rule->asked++;
    rule->from = from;
    rule->len = len;
    return rule->answer;
}

static int on_accept(struct cw_conn_middleware *self, struct cw_loop *loop,
                     const struct cw_address *peer, uint64_t *limit)
{
    return CW_EDENIED;
}

static const struct cw_datagram from = {.peer = {.family = CW_IPV4, .port = 5}};

Test(middleware_datagram, without_one_that_is_interested_everything_passes)
{
    struct cw_server *server = cw_create_server(&cw_udp);
    struct rule deaf = {.table = {.name = "deaf", .on_accept = on_accept}};

    cr_assert_eq(cw_middleware_datagram(server, NULL, &from, 9), CW_OK);
    cr_assert_eq(cw_server_use(server, &deaf.table), CW_OK);
    cr_assert_null(server->datagram_middleware);
    cr_assert_eq(cw_middleware_datagram(server, NULL, &from, 9), CW_OK);
    cw_server_free(server);
}

Test(middleware_datagram, the_first_that_says_no_has_decided)
{
    struct cw_server *server = cw_create_server(&cw_udp);
    struct rule rules[] = {
        {.table = {.name = "deaf", .on_accept = on_accept}},
        {.table = {.name = "first", .on_datagram = on_datagram}},
        {.table = {.name = "deaf too"}},
        {.table = {.name = "second", .on_datagram = on_datagram}},
        {.table = {.name = "third", .on_datagram = on_datagram}},
    };

    for (size_t i = 0; i < sizeof rules / sizeof *rules; i++) {
        cr_assert_eq(cw_server_use(server, &rules[i].table), CW_OK);
    }
    cr_assert_eq(cw_middleware_datagram(server, NULL, &from, 9), CW_OK);
    cr_assert_eq(rules[4].asked, 1);
    cr_assert_eq(rules[4].from, &from);
    cr_assert_eq(rules[4].len, 9);
    rules[3].answer = CW_ERATE;
    cr_assert_eq(cw_middleware_datagram(server, NULL, &from, 0), CW_ERATE);
    cr_assert_eq(rules[1].asked, 2);
    cr_assert_eq(rules[3].asked, 2);
    cr_assert_eq(rules[4].asked, 1);
    cw_server_free(server);
}
