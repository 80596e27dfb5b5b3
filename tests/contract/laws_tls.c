/* The laws that a stream can break, over TLS: a server for each vector, a connection for each case. */
#include "contract/laws.h"

#include "support/pki.h"
#include "support/scene.h"
#include "support/tls_tap.h"
#include "support/wait.h"

#include <causeway/causeway.h>
#include <errno.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { CUTS_MAX = 100, HEAD_AND_TAG = 29, SEVERAL_TURNS = 2 };

/* ---- output that leaves one byte at a time ---- */

static atomic_bool trickles;
static _Thread_local bool is_the_test; /* whose peer sends as it likes */

/* In place of the C library's for all of this program: what a server sends leaves by the byte, and every other time not at
 * all. */
ssize_t send(int fd, const void *data, size_t len, int flags)
{
    static _Thread_local bool full;

    if (atomic_load(&trickles) && !is_the_test && len > 0) {
        full = !full;
        if (full) {
            errno = EAGAIN;
            return -1;
        }
        len = 1;
    }
    return syscall(SYS_sendto, fd, data, len, flags, NULL, 0);
}

/* ---- a server for a vector ---- */

static struct {
    const struct law_vector *vector;
    struct rig_host *host;
    struct rig *rig; /* the teller; for the loop's thread alone while a connection is open */
    struct rig_setup *setup;
    struct rig_tap tap;
    struct rig_bytes output;
    mbedtls_ssl_session session; /* resumed, a handshake costs little */
    bool has_session;
} line;

static void begin(const struct law_vector *vector, const struct rig_setup *setup)
{
    const struct cw_tls_options tls = {.cert = pki("server.pem"), .key = pki("server.key")};
    const struct cw_server_options options = {.half_open = setup->half_open};
    struct cw_server *server = cw_create_server(setup->protocol);
    struct cw_service service = {setup->protocol, setup->options, &rig_hooks, NULL};
    struct rig_setup echo = *setup;

    memset(&line, 0, sizeof line);
    is_the_test = true;
    cw_log_set_level(CW_LOG_SILENT);
    echo.echo = true;
    line.vector = vector;
    line.rig = rig_teller_new(&echo);
    service.user = line.rig;
    mbedtls_ssl_session_init(&line.session);
    rig_check(cw_server_configure(server, &options) == CW_OK);
    rig_check(cw_server_listen(server, &(struct cw_listen_options){.host = "127.0.0.1",
                                                                   .tls = &tls,
                                                                   .service = service}) == CW_OK);
    line.host = rig_host_start(server, NULL, NULL);
}

static void finish(void)
{
    rig_host_end(line.host);
    rig_teller_free(line.rig);
    rig_release(&line.output);
    mbedtls_ssl_session_free(&line.session);
}

static void connect_peer(void)
{
    rig_tap_open(&line.tap, rig_peer_tcp(rig_host_port(line.host, 0)),
                 &(struct rig_tap_setup){.version = 12});
    if (line.has_session) {
        rig_check(mbedtls_ssl_set_session(&line.tap.ssl, &line.session) == 0);
    }
    rig_check(rig_tap_handshake(&line.tap) == 0);
    if (!line.has_session) {
        rig_check(mbedtls_ssl_get_session(&line.tap.ssl, &line.session) == 0);
        line.has_session = true;
    }
}

static void part(void)
{
    rig_tap_close(&line.tap);
    rig_await(rig_host_conns(line.host) == 0);
    line.output.len = 0;
}

/* ---- what the peer does ---- */

static void send_bytes(const uint8_t *data, size_t len)
{
    while (len > 0) {
        ptrdiff_t n = rig_peer_try_send(&line.tap.peer, data, len);

        if (n < 0) {
            return; /* refused, and gone: the story tells it */
        }
        data += n;
        len -= (size_t)n;
    }
}

/* What has been sent is read, by itself, before anything else comes. */
static void let_read(void)
{
    uint64_t deadline = rig_now_ms() + RIG_DEADLINE_MS;

    while (!rig_peer_has_arrived(&line.tap.peer) && rig_rest(deadline)) {}
    for (unsigned i = 0; i < SEVERAL_TURNS; i++) {
        rig_host_run(line.host, 0, rig_pass, NULL);
    }
}

/* One record of these bytes, in two pieces: `cut` bytes of the record and the rest; SIZE_MAX: in one. */
static void feed(size_t from, size_t to, size_t cut)
{
    struct cw_span record = {NULL, 0};

    if (from < to) {
        record = rig_tap_records(&line.tap, line.vector->input.data + from, to - from);
    }
    if (cut < record.len) {
        send_bytes(record.data, cut);
        let_read();
        send_bytes(record.data + cut, record.len - cut);
    } else {
        send_bytes(record.data, record.len);
    }
}

static void end_input(void)
{
    if (line.vector->ends) {
        line.tap.held.len = 0;
        line.tap.holds = true;
        rig_tap_notify(&line.tap);
        line.tap.holds = false;
        send_bytes(line.tap.held.data, line.tap.held.len);
    }
}

static void feed_by_byte(void)
{
    for (size_t at = 0; at < line.vector->input.len; at++) {
        feed(at, at + 1, SIZE_MAX);
    }
    end_input();
}

/* As many bytes as are wanted, or all there are. */
static void take_output(size_t wanted)
{
    while (line.output.len < wanted) {
        uint8_t bytes[4096];
        size_t left = wanted - line.output.len;
        int n = mbedtls_ssl_read(&line.tap.ssl, bytes, left < sizeof bytes ? left : sizeof bytes);

        if (n <= 0) {
            return;
        }
        rig_append(&line.output, bytes, (size_t)n);
    }
}

/* ---- what has come of it ---- */

struct look {
    size_t nth;
    bool over;
};

/* On the loop's thread. Over: all is told; or the n-th hook was called, and the connection has ended by that. */
static void look_now(struct cw_loop *loop, struct cw_conn *conn, void *arg)
{
    struct look *look = arg;

    if (look->nth > 0 && line.rig->hooks >= look->nth) {
        look->over = line.rig->closes > 0;
    } else {
        look->over = strcmp(rig_told(line.rig), line.vector->story) == 0;
    }
}

static bool comes_to_an_end(size_t nth)
{
    struct look look = {.nth = nth};
    uint64_t deadline = rig_now_ms() + RIG_DEADLINE_MS / 2;

    do {
        rig_host_run(line.host, 0, look_now, &look);
    } while (!look.over && rig_rest(deadline));
    return look.over;
}

static void expect_all(const char *how, size_t n)
{
    take_output(line.vector->output.len);
    bool over = comes_to_an_end(0);
    struct cw_span output = cw_span_of(line.output.data, line.output.len);

    cr_assert(over, "%s, %s %zu:\n%s\ninstead of\n%s", line.vector->name, how, n,
              rig_told(line.rig), line.vector->story);
    cr_assert(cw_span_equal(output, line.vector->output), "%s, %s %zu: %zu bytes instead of %zu",
              line.vector->name, how, n, output.len, line.vector->output.len);
    part();
    rig_teller_reset(line.rig);
}

/* ---- the laws ---- */

static bool is_for_us(const struct law_vector *vector)
{
    return vector->setup.role == CW_SERVER;
}

static void skip_without_certificates(void)
{
    if (!pki_made()) {
        cr_skip_test("the openssl command was missing when this was built");
    }
}

static size_t next_cut(size_t cut, size_t len)
{
    return len <= CUTS_MAX || cut < CUTS_MAX / 2 ? cut + 1 : cut + len / 16;
}

static void cut_everywhere(const struct law_vector *vector)
{
    size_t len = vector->input.len;

    for (size_t cut = 0; cut < len; cut = next_cut(cut, len)) {
        connect_peer(); /* between two records */
        feed(0, cut, SIZE_MAX);
        let_read();
        feed(cut, len, SIZE_MAX);
        end_input();
        expect_all("cut at", cut);
    }
    for (size_t cut = 1; len > 0 && cut < len + HEAD_AND_TAG; cut = next_cut(cut, len) + 2) {
        connect_peer(); /* in the middle of one */
        feed(0, len, cut);
        end_input();
        expect_all("record cut at", cut);
    }
}

void law_of_cuts_over_tls(const struct law_vector *vectors, size_t count)
{
    skip_without_certificates();
    for (size_t i = 0; i < count; i++) {
        if (is_for_us(&vectors[i])) {
            begin(&vectors[i], &vectors[i].setup);
            cut_everywhere(&vectors[i]);
            connect_peer();
            feed_by_byte();
            expect_all("by the byte", 1);
            finish();
        }
    }
}

/* Returns false when there is no such hook call. */
static bool close_in(const struct law_vector *vector, enum rig_deed deed, size_t nth)
{
    struct rig_setup setup = vector->setup;
    bool done;

    setup.deed = deed;
    setup.deed_at = nth;
    begin(vector, &setup);
    connect_peer();
    feed_by_byte();
    cr_assert(comes_to_an_end(nth), "%s: hook call %zu: %s", vector->name, nth, rig_told(line.rig));
    done = line.rig->hooks >= nth;
    if (done) {
        take_output(SIZE_MAX);
        cr_assert_eq(line.rig->hooks, nth, "%s: hooks were called after hook call %zu",
                     vector->name, nth);
        cr_assert_eq(line.rig->closes, 1);
        cr_assert_eq(line.rig->code, deed == RIG_CLOSE ? CW_BY_APP : CW_BY_ABORT, "%s: %s",
                     vector->name, rig_told(line.rig));
        cr_assert_leq(line.output.len, vector->output.len);
        cr_assert_eq(memcmp(vector->output.data ? vector->output.data : (const uint8_t *)"",
                            line.output.data ? line.output.data : (const uint8_t *)"",
                            line.output.len),
                     0);
    }
    part();
    finish();
    return done;
}

void law_of_closing_over_tls(const struct law_vector *vectors, size_t count)
{
    skip_without_certificates();
    for (size_t i = 0; i < count; i++) {
        for (size_t nth = 1; is_for_us(&vectors[i]) && close_in(&vectors[i], RIG_CLOSE, nth);
             nth++) {}
        for (size_t nth = 1; is_for_us(&vectors[i]) && close_in(&vectors[i], RIG_ABORT, nth);
             nth++) {}
    }
}

void law_of_slow_peers_over_tls(const struct law_vector *vectors, size_t count)
{
    skip_without_certificates();
    for (size_t i = 0; i < count; i++) {
        if (is_for_us(&vectors[i]) && vectors[i].output.len < 4096) {
            begin(&vectors[i], &vectors[i].setup);
            atomic_store(&trickles, true);
            connect_peer();
            feed(0, vectors[i].input.len, SIZE_MAX);
            end_input();
            expect_all("taken by", 1);
            atomic_store(&trickles, false);
            finish();
        }
    }
}
