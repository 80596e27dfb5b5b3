/* echo --protocol http as those meet it who start it, and as clients that others wrote do. */
#include "support/http_peer.h"
#include "support/leak.h"
#include "support/pki.h"
#include "support/program.h"
#include "support/wait.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { LARGE = 3000000 };

static struct rig_child child;
static struct http_reply reply;
static char folder[] = "/tmp/cw_echo_http_XXXXXX";
static uint16_t port;

static void put(const char *name, const char *text)
{
    char path[128];
    FILE *file;

    snprintf(path, sizeof path, "%s/%s", folder, name);
    file = fopen(path, "w");
    cr_assert_not_null(file);
    fputs(text, file);
    fclose(file);
}

/* Bytes that show when one is lost or out of place. */
static void put_large(const char *name)
{
    char path[128];
    FILE *file;

    snprintf(path, sizeof path, "%s/%s", folder, name);
    file = fopen(path, "w");
    cr_assert_not_null(file);
    for (unsigned i = 0; i < LARGE / 8; i++) {
        fprintf(file, "%07u\n", i);
    }
    fclose(file);
}

static void lay(void)
{
    cr_assert_not_null(mkdtemp(folder));
    put("a.txt", "file");
}

static void clear(void)
{
    char command[64];

    http_reply_release(&reply);
    snprintf(command, sizeof command, "rm -rf %s", folder);
    cr_assert_eq(system(command), 0);
    rig_expect_no_leak();
}

TestSuite(echo_http_program, .init = lay, .fini = clear, .timeout = 180);

/* Options behind `--protocol http --port 0`; ends with NULL. */
static void start_with(const char *const *more)
{
    const char *arguments[16] = {"--protocol", "http", "--port", "0"};

    for (size_t i = 0; more[i]; i++) {
        arguments[4 + i] = more[i];
    }
    if (!rig_program_start(&child, "echo", arguments)) {
        cr_skip_test("the examples were left out of this build");
    }
    port = rig_program_port_of(&child, "http");
}

static void start(void)
{
    start_with((const char *const[]){"--static", folder, NULL});
}

static void expect(struct http_peer *peer, const char *request, int status, const char *body)
{
    http_reply_release(&reply);
    http_peer_ask(peer, request, &reply);
    cr_expect_eq(reply.status, status, "%s: %d", request, reply.status);
    if (body) {
        cr_expect_str_eq((const char *)reply.body, body, "%s", request);
    }
}

/* ---- what it serves ---- */

Test(echo_http_program, each_path_answers_as_it_is_documented)
{
    start();

    struct http_peer peer = http_peer_new(port);

    expect(&peer, "GET / HTTP/1.1\r\nHost: a\r\n\r\n", 200, "Hello, world!");
    cr_expect_eq(strncmp(http_reply_field(&reply, "Content-Type"), "text/plain", 10), 0);
    cr_expect_str_eq(http_reply_field(&reply, "Content-Length"), "13");
    expect(&peer, "HEAD / HTTP/1.1\r\nHost: a\r\n\r\n", 200, "");
    cr_expect_str_eq(http_reply_field(&reply, "Content-Length"), "13");
    expect(&peer, "GET /empty HTTP/1.1\r\nHost: a\r\n\r\n", 204, "");
    expect(&peer, "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello", 200, "hello");
    expect(&peer, "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n", 200, "");
    expect(&peer,
           "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Type: text/x-a\r\n"
           "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n",
           200, "abcde");
    cr_expect_str_eq(http_reply_field(&reply, "Content-Type"), "text/x-a");
    expect(&peer, "GET /big?bytes=100000 HTTP/1.1\r\nHost: a\r\n\r\n", 200, NULL);
    cr_expect_eq(reply.body_len, 100000);
    expect(&peer, "GET /big?bytes=0 HTTP/1.1\r\nHost: a\r\n\r\n", 200, "");
    expect(&peer, "GET /big?bytes=-1 HTTP/1.1\r\nHost: a\r\n\r\n", 400, NULL);
    expect(&peer, "GET /big HTTP/1.1\r\nHost: a\r\n\r\n", 400, NULL);
    expect(&peer, "GET /static/a.txt HTTP/1.1\r\nHost: a\r\n\r\n", 200, "file");
    expect(&peer, "GET /static/../a.txt HTTP/1.1\r\nHost: a\r\n\r\n", 404, NULL);
    expect(&peer, "GET /none HTTP/1.1\r\nHost: a\r\n\r\n", 404, NULL);
    expect(&peer, "PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n", 405, NULL);
    http_peer_close(&peer);
    rig_program_end(&child);
}

Test(echo_http_program, without_a_folder_there_are_no_files)
{
    start_with((const char *const[]){NULL});

    struct http_peer peer = http_peer_new(port);

    expect(&peer, "GET /static/a.txt HTTP/1.1\r\nHost: a\r\n\r\n", 404, NULL);
    http_peer_close(&peer);
    rig_program_end(&child);
}

Test(echo_http_program, pipelined_requests_are_answered_in_their_order)
{
    start();

    struct http_peer peer = http_peer_new(port);

    http_peer_send(&peer, "GET /slow HTTP/1.1\r\nHost: a\r\n\r\n"
                          "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc"
                          "HEAD / HTTP/1.1\r\nHost: a\r\n\r\n"
                          "GET /big?bytes=70000 HTTP/1.1\r\nHost: a\r\n\r\n"
                          "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    http_peer_read(&peer, &reply, false);
    cr_expect_str_eq((const char *)reply.body, "That took two seconds.");
    http_reply_release(&reply);
    http_peer_read(&peer, &reply, false);
    cr_expect_str_eq((const char *)reply.body, "abc");
    http_reply_release(&reply);
    http_peer_read(&peer, &reply, true);
    http_reply_release(&reply);
    http_peer_read(&peer, &reply, false);
    cr_expect_eq(reply.body_len, 70000);
    http_reply_release(&reply);
    http_peer_read(&peer, &reply, false);
    cr_expect_str_eq((const char *)reply.body, "Hello, world!");
    http_peer_expect_end(&peer);
    http_peer_close(&peer);
    rig_program_end(&child);
}

Test(echo_http_program, a_body_comes_back_while_it_is_still_being_sent)
{
    static const char pattern[] = "0123456789abcdef";
    char piece[1024];
    char got[1024];

    start();
    for (size_t i = 0; i < sizeof piece; i++) {
        piece[i] = pattern[i % 16];
    }

    struct rig_peer peer = rig_peer_tcp(port);
    char head[512] = "";

    rig_peer_send_text(&peer, "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 102400\r\n\r\n");
    rig_peer_send(&peer, piece, sizeof piece);
    for (size_t len = 0; !strstr(head, "\r\n\r\n"); len++) {
        rig_peer_receive(&peer, head + len, 1);
    }
    cr_expect_eq(strncmp(head, "HTTP/1.1 200 ", 13), 0);
    rig_peer_receive(&peer, got, sizeof got);
    for (int i = 1; i < 100; i++) {
        rig_peer_send(&peer, piece, sizeof piece);
        rig_peer_receive(&peer, got, sizeof got);
        cr_assert_eq(memcmp(got, piece, sizeof got), 0);
    }
    rig_peer_close(&peer);
    rig_program_end(&child);
}

/* ---- the end ---- */

Test(echo_http_program, sigterm_lets_the_request_under_way_finish)
{
    start();

    struct http_peer slow = http_peer_new(port);
    struct http_peer idle = http_peer_new(port);

    expect(&idle, "GET / HTTP/1.1\r\nHost: a\r\n\r\n", 200, NULL);
    /* In one go, so that it is known to have begun when the first is answered. */
    http_peer_send(&slow, "GET / HTTP/1.1\r\nHost: a\r\n\r\nGET /slow HTTP/1.1\r\nHost: a\r\n\r\n");
    http_reply_release(&reply);
    http_peer_read(&slow, &reply, false);
    rig_child_signal(&child, 15);
    http_peer_expect_end(&idle);
    http_reply_release(&reply);
    http_peer_read(&slow, &reply, false);
    cr_expect_eq(reply.status, 200);
    cr_expect_str_eq((const char *)reply.body, "That took two seconds.");
    cr_expect_str_eq(http_reply_field(&reply, "Connection"), "close");
    http_peer_expect_end(&slow);
    http_peer_close(&slow);
    http_peer_close(&idle);
    cr_expect_eq(rig_child_join(&child), 0, "%s", child.text);
}

Test(echo_http_program, a_peer_that_leaves_before_its_answer_leaves_nothing)
{
    start();
    for (int i = 0; i < 20; i++) {
        struct http_peer peer = http_peer_new(port);

        http_peer_send(&peer, "GET /slow HTTP/1.1\r\nHost: a\r\n\r\n");
        http_peer_close(&peer);
    }

    struct http_peer peer = http_peer_new(port);

    expect(&peer, "GET / HTTP/1.1\r\nHost: a\r\n\r\n", 200, "Hello, world!");
    http_peer_close(&peer);
    rig_program_end(&child); /* its own leak checker would say 1 */
}

/* ---- options ---- */

Test(echo_http_program, max_body_is_judged_at_the_head_and_at_the_chunk)
{
    start_with((const char *const[]){"--max-body", "10", NULL});

    struct http_peer peer = http_peer_new(port);

    expect(&peer, "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n0123456789", 200,
           "0123456789");
    expect(&peer, "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 11\r\n\r\n", 413, NULL);
    http_peer_close(&peer);
    peer = http_peer_new(port);
    expect(&peer, "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nb\r\n", 413,
           NULL);
    http_peer_close(&peer);
    rig_program_end(&child);
}

Test(echo_http_program, heads_and_bodies_have_the_time_that_was_given)
{
    start_with((const char *const[]){"--header-timeout", "300ms", "--body-timeout", "300ms", NULL});

    struct http_peer peer = http_peer_new(port);

    expect(&peer, "GET / HTTP/1.1\r\nHost:", 408, NULL);
    http_peer_expect_end(&peer);
    http_peer_close(&peer);
    peer = http_peer_new(port);
    expect(&peer, "POST /none HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nabc", 404, NULL);
    http_peer_close(&peer);
    peer = http_peer_new(port);
    http_peer_send(&peer, "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n");
    http_reply_release(&reply);
    http_peer_read(&peer, &reply, false);
    cr_expect_eq(reply.status, 408);
    http_peer_close(&peer);
    rig_program_end(&child);
}

static void expect_refused(const char *const *arguments, const char *text)
{
    if (!rig_program_start(&child, "echo", arguments)) {
        cr_skip_test("the examples were left out of this build");
    }
    rig_program_expect_status(&child, 1);
    cr_expect_not_null(strstr(child.text, text), "%s", child.text);
}

Test(echo_http_program, what_is_wrong_is_said_before_it_listens)
{
    expect_refused((const char *const[]){"--protocol", "http", "--static", "/nowhere/at/all", NULL},
                   "/nowhere/at/all: a file or directory of the path does not exist");
    expect_refused((const char *const[]){"--protocol", "http", "--max-body", "x", NULL},
                   "echo: --max-body x: expected bytes");
    expect_refused((const char *const[]){"--protocol", "http", "--cors-origin", "a.example", NULL},
                   "cors_origin: a.example");
    expect_refused((const char *const[]){"--protocol", "http", "--trusted-proxy", "x", NULL},
                   "trusted_proxies");
}

Test(echo_http_program, proxies_are_trusted_one_by_one_or_together)
{
    start_with((const char *const[]){"--trusted-proxy", "10.0.0.0/8", "--trusted-proxy",
                                     "::1,127.0.0.1", "--max-connections-per-ip", "1", NULL});

    struct http_peer first = http_peer_new(port);
    struct http_peer second = http_peer_new(port);

    expect(&first, "GET / HTTP/1.1\r\nHost: a\r\n\r\n", 200, NULL);
    expect(&second, "GET / HTTP/1.1\r\nHost: a\r\n\r\n", 200, NULL);
    http_peer_close(&first);
    http_peer_close(&second);
    rig_program_end(&child);
}

Test(echo_http_program, pages_of_the_origins_that_were_given_may_read_the_answers)
{
    start_with((const char *const[]){"--cors-origin", "https://a.example", "--cors-origin",
                                     "https://b.example:8443", NULL});

    struct http_peer peer = http_peer_new(port);

    expect(&peer, "GET / HTTP/1.1\r\nHost: a\r\nOrigin: https://b.example:8443\r\n\r\n", 200,
           "Hello, world!");
    cr_expect_str_eq(http_reply_field(&reply, "Access-Control-Allow-Origin"),
                     "https://b.example:8443");
    expect(&peer, "GET / HTTP/1.1\r\nHost: a\r\nOrigin: https://c.example\r\n\r\n", 200, NULL);
    cr_expect_str_eq(http_reply_field(&reply, "Access-Control-Allow-Origin"), "");
    expect(&peer,
           "OPTIONS /echo HTTP/1.1\r\nHost: a\r\nOrigin: https://a.example\r\n"
           "Access-Control-Request-Method: POST\r\n\r\n",
           204, NULL);
    cr_expect_str_eq(http_reply_field(&reply, "Access-Control-Allow-Origin"), "https://a.example");
    http_peer_close(&peer);
    rig_program_end(&child);
}

Test(echo_http_program, without_an_origin_no_page_of_another_may_read_them)
{
    start();

    struct http_peer peer = http_peer_new(port);

    expect(&peer, "GET / HTTP/1.1\r\nHost: a\r\nOrigin: https://a.example\r\n\r\n", 200, NULL);
    cr_expect_str_eq(http_reply_field(&reply, "Access-Control-Allow-Origin"), "");
    http_peer_close(&peer);
    rig_program_end(&child);
}

/* ---- a file ---- */

Test(echo_http_program, a_file_sets_the_options_and_the_command_line_goes_over_it)
{
    char path[128];

    put("echo.yaml", "server:\n"
                     "  listeners:\n"
                     "    - { protocol: http, port: 0, bind: 127.0.0.1 }\n"
                     "    - { protocol: line, port: 0, bind: 127.0.0.1 }\n"
                     "  http:\n"
                     "    max_header_size: 1000\n"
                     "    max_body_size: 5\n"
                     "    cors_origin: \"*\"\n");
    snprintf(path, sizeof path, "%s/echo.yaml", folder);
    if (!rig_program_start(&child, "echo",
                           (const char *const[]){"--config", path, "--max-body", "7", NULL})) {
        cr_skip_test("the examples were left out of this build");
    }
    port = rig_program_port_of(&child, "http");

    struct http_peer peer = http_peer_new(port);
    char long_head[1200];

    expect(&peer, "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 7\r\n\r\n0123456", 200,
           "0123456");
    expect(&peer, "GET / HTTP/1.1\r\nHost: a\r\nOrigin: https://a.example\r\n\r\n", 200, NULL);
    cr_expect_str_eq(http_reply_field(&reply, "Access-Control-Allow-Origin"), "*");
    expect(&peer, "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 8\r\n\r\n", 413, NULL);
    http_peer_close(&peer);
    peer = http_peer_new(port);
    snprintf(long_head, sizeof long_head, "GET / HTTP/1.1\r\nHost: a\r\nA: %01000d\r\n\r\n", 0);
    expect(&peer, long_head, 431, NULL);
    http_peer_close(&peer);
    rig_program_end(&child);
}

Test(echo_http_program, an_unknown_key_of_http_is_told)
{
    char path[128];

    put("echo.yaml", "server:\n  http:\n    max_bodysize: 5\n");
    snprintf(path, sizeof path, "%s/echo.yaml", folder);
    expect_refused((const char *const[]){"--config", path, NULL}, "server.http.max_bodysize");
}

/* ---- clients that others wrote ---- */

/* Runs a command whose %s are the address; expects what it prints. */
static void expect_client(const char *needs, const char *command, const char *expected)
{
    static char text[4096];
    char line[2048];
    size_t len;
    FILE *pipe;

    snprintf(line, sizeof line, "command -v %s >/dev/null 2>&1", needs);
    if (system(line) != 0) {
        cr_skip_test("%s is not here", needs);
    }
    snprintf(line, sizeof line, "U=http://127.0.0.1:%u; P=%u; export U P; %s", port, port, command);
    pipe = popen(line, "r");
    cr_assert_not_null(pipe);
    len = fread(text, 1, sizeof text - 1, pipe);
    text[len] = '\0';
    cr_expect_eq(pclose(pipe), 0, "%s", text);
    cr_expect_str_eq(text, expected);
}

Test(echo_http_program, curl_gets_and_posts_and_keeps_its_connection)
{
    start();
    expect_client("curl",
                  "export NO_PROXY='*'; C='curl -s --max-time 60'; "
                  "$C $U/ $U/static/a.txt -w '[%{num_connects}]'; "
                  "$C -d abc $U/echo; $C -I $U/ | grep -ci '^content-length: 13'; "
                  "$C -o /dev/null -w '%{http_code}' $U/empty; $C -r 1-2 $U/static/a.txt; "
                  "head -c 2000000 /dev/zero | $C --data-binary @- $U/echo -o /dev/null "
                  "-w '[%{http_code}]'",
                  "Hello, world![1]file[0]abc1\n204il[413]");
    rig_program_end(&child);
}

Test(echo_http_program, curl_uploads_more_than_a_piece_and_gets_it_back)
{
    start_with((const char *const[]){"--max-body", "unlimited", NULL});
    expect_client("curl",
                  "D=$(mktemp -d); head -c 20000000 /dev/urandom > $D/up; "
                  "curl -s --max-time 120 --noproxy '*' -X POST -T $D/up $U/echo | "
                  "cmp - $D/up && echo same; rm -r $D",
                  "same\n");
    rig_program_end(&child);
}

Test(echo_http_program, over_tls_it_serves_the_same)
{
    if (!pki_made()) {
        cr_skip_test("no certificates");
    }
    put_large("large.bin");

    const char *arguments[] = {
        "--protocol",      "http",      "--port",          "0", "--static", folder, "--tls-cert",
        pki("server.pem"), "--tls-key", pki("server.key"), NULL};

    if (!rig_program_start(&child, "echo", arguments)) {
        cr_skip_test("the examples were left out of this build");
    }
    port = rig_program_port_of(&child, "https");

    char command[1024];

    snprintf(command, sizeof command,
             "C='curl -s --max-time 60 --noproxy 127.0.0.1 --cacert %s'; S=https://127.0.0.1:$P; "
             "F=%s/large.bin; $C $S/; echo; $C $S/static/large.bin | cmp - $F && echo same; "
             "$C -r 1000000-1999999 $S/static/large.bin > $F.part; "
             "tail -c +1000001 $F | head -c 1000000 | cmp - $F.part && echo same; "
             "$C --data-binary @$F -H 'Expect:' $S/echo -o /dev/null -w '%%{http_code}'",
             pki("ca.pem"), folder);
    expect_client("curl", command, "Hello, world!\nsame\nsame\n413");
    rig_program_end(&child);
}

Test(echo_http_program, pythons_client_gets_and_posts_on_one_connection)
{
    start();
    expect_client(
        "python3",
        "python3 - <<'END'\n"
        "import http.client, os\n"
        "c = http.client.HTTPConnection('127.0.0.1', int(os.environ['P']), timeout=60)\n"
        "for method, path, body in (('GET', '/', None), ('HEAD', '/', None), ('GET', '/empty', None),\n"
        "        ('POST', '/echo', b'x' * 100000), ('GET', '/static/a.txt', None),\n"
        "        ('GET', '/big?bytes=300000', None), ('GET', '/slow', None)):\n"
        "    c.request(method, path, body)\n"
        "    sock = c.sock\n"
        "    r = c.getresponse()\n"
        "    print(r.status, len(r.read()), c.sock is sock)\n"
        "c.request('POST', '/echo', iter([b'ab', b'cd']), encode_chunked=True,\n"
        "          headers={'Transfer-Encoding': 'chunked'})\n"
        "print(c.getresponse().read())\n"
        "END",
        "200 13 True\n200 0 True\n204 0 True\n200 100000 True\n200 4 True\n200 300000 True\n"
        "200 22 True\nb'abcd'\n");
    rig_program_end(&child);
}

Test(echo_http_program, nodes_fetch_gets_and_posts)
{
    start();
    expect_client(
        "node",
        "node - <<'END'\n"
        "const u = process.env.U;\n"
        "(async () => {\n"
        "  for (const [path, options] of [['/', {}], ['/', {method: 'HEAD'}], ['/empty', {}],\n"
        "      ['/echo', {method: 'POST', body: 'x'.repeat(100000)}], ['/static/a.txt', {}],\n"
        "      ['/big?bytes=300000', {}], ['/none', {}]]) {\n"
        "    const r = await fetch(u + path, options);\n"
        "    console.log(r.status, (await r.text()).length);\n"
        "  }\n"
        "})();\n"
        "END",
        "200 13\n200 0\n204 0\n200 100000\n200 4\n200 300000\n404 14\n");
    rig_program_end(&child);
}
