/* Other people's clients: curl, Python's http.client, Node's fetch; with TLS and without. */
#include "support/http_gallery.h"
#include "support/leak.h"
#include "support/pki.h"
#include "support/secure.h"
#include "support/wait.h"

#include <causeway/log.h>
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { WORDS = 40, UPLOAD = 3000000 };

static struct http_gallery gallery;
static struct rig_child child;
static char base[64];
static bool over_tls;

static void init(void)
{
    cw_log_set_level(CW_LOG_SILENT);
}

TestSuite(http_clients, .init = init, .fini = rig_expect_no_leak, .timeout = 100);

static void start(const char *program, bool tls)
{
    if (!rig_has_program(program)) {
        cr_skip_test("%s is not installed", program);
    }
    if (tls && !pki_made()) {
        cr_skip_test("the openssl command was missing when this was built");
    }
    over_tls = tls;
    http_gallery_start(&gallery, NULL, NULL);
    http_gallery_put(&gallery, "page.txt", "a page\n");
    snprintf(base, sizeof base, tls ? "https://localhost:%u" : "http://127.0.0.1:%u",
             tls ? gallery.tls_port : gallery.port);
}

static void end(void)
{
    http_gallery_end(&gallery);
}

static void expect_well(const char *const *words)
{
    int status = rig_run_words(&child, words);

    cr_expect_eq(status, 0, "%d: %s", status, child.text);
    cr_expect_not_null(strstr(child.text, "all is well"), "%s", child.text);
}

/* ---- curl ---- */

static bool is_target(const char *const *words, size_t i)
{
    bool is_path = i > 0 && (strcmp(words[i - 1], "-o") == 0 || strcmp(words[i - 1], "-T") == 0);

    return words[i][0] == '/' && !is_path;
}

/* A target becomes a URL. Returns what curl has printed. */
static const char *curl(const char *const *more)
{
    static char urls[WORDS][128];
    const char *words[WORDS] = {"curl", "-sS", "--max-time", "30", "--cacert", NULL};
    size_t count = 6;
    int status;

    words[5] = over_tls ? pki("ca.pem") : "/dev/null";
    for (size_t i = 0; more[i]; i++) {
        cr_assert_lt(count, WORDS - 1);
        snprintf(urls[count], sizeof urls[count], "%s%s", is_target(more, i) ? base : "", more[i]);
        words[count] = urls[count];
        count++;
        /* what --next begins knows nothing of what came before it */
        if (strcmp(more[i], "--next") == 0) {
            words[count++] = "--cacert";
            words[count++] = words[5];
        }
    }
    words[count] = NULL;
    status = rig_run_words(&child, words);
    cr_expect_eq(status, 0, "curl %s: %d: %s", more[0], status, child.text);
    return child.text;
}

#define CURL(...) curl(RIG_WORDS(__VA_ARGS__))

static void expect_curl_conns(void)
{
    uint64_t before = http_gallery_conns(&gallery);

    cr_expect_str_eq(CURL("/number/1", "/number/2", "/number/3", "/number/4"), "1234");
    cr_expect_eq(http_gallery_conns(&gallery), before + 1, "it keeps the connection");
    cr_expect_str_eq(CURL("/number/1", "--next", "-d", "hello", "/echo", "--next", "-I", "-o",
                          "/dev/null", "/hello", "--next", "/number/2"),
                     "1hello2");
    cr_expect_eq(http_gallery_conns(&gallery), before + 2);
    cr_expect_str_eq(CURL("--http1.0", "/number/1", "/number/2", "/chunks/0"), "12");
    cr_expect_str_eq(
        CURL("--http1.0", "-w", "%{http_version} %{num_connects} ", "/number/1", "/number/2"),
        "11.1 1 21.1 1 ");
    cr_expect_str_eq(
        CURL("-Z", "--no-progress-meter", "/number/7", "/number/7", "/number/7", "/number/7"),
        "7777");
}

static void expect_curl_bodies(void)
{
    char path[128];

    http_gallery_put_pattern(&gallery, "up.bin", UPLOAD);
    snprintf(path, sizeof path, "@%s", http_gallery_at(&gallery, "up.bin"));
    /* -T says Expect: 100-continue for bodies as long as this */
    cr_expect_str_eq(CURL("-T", path + 1, "/count"), "3000000");
    cr_expect_not_null(strstr(CURL("-v", "-T", path + 1, "-H", "Expect: 100-continue", "/count"),
                              "HTTP/1.1 100 Continue"));
    cr_expect_str_eq(CURL("-T", path + 1, "-H", "Transfer-Encoding: chunked", "/count"), "3000000");
    cr_expect_str_eq(CURL("-o", "/dev/null", "-w", "%{http_code} %{size_download}", "--data-binary",
                          path, "/stream"),
                     "200 3000000");
    cr_expect_not_null(strstr(
        CURL("-v", "-o", "/dev/null", "-T", path + 1, "-H", "Expect: 100-continue", "/small"),
        "HTTP/1.1 413 "));
    cr_expect_null(strstr(child.text, "100 Continue"));
    cr_expect_not_null(
        strstr(CURL("-v", "-d", "x", "-H", "Expect: a-miracle", "/echo"), "HTTP/1.1 417 "));
    snprintf(path, sizeof path, "file=@%s;filename=up.bin", http_gallery_at(&gallery, "up.bin"));
    cr_expect_str_eq(CURL("-F", "name=n", "-F", path, "/upload"), "n up.bin 3000000");
}

static void expect_curl_files(void)
{
    http_gallery_put(&gallery, "ten.txt", "0123456789");
    cr_expect_str_eq(CURL("/files/ten.txt"), "0123456789");
    cr_expect_str_eq(CURL("-r", "3-5", "/files/ten.txt"), "345");
    cr_expect_str_eq(CURL("-r", "-2", "/files/ten.txt"), "89");
    cr_expect_not_null(strstr(CURL("-r", "0-1,8-9", "/files/ten.txt"),
                              "Content-Range: bytes 8-9/10\r\n\r\n89\r\n--"));
    cr_expect_str_eq(CURL("-C", "7", "/files/ten.txt"), "789");
    cr_expect_not_null(strstr(CURL("-I", "/files/ten.txt"), "Content-Length: 10\r\n"));
    cr_expect_str_eq(CURL("-r", "90-99", "-o", "/dev/null", "-w", "%{http_code}", "/files/ten.txt"),
                     "416");
    cr_expect_str_eq(
        CURL("-z", "Fri, 01 Jan 2100 00:00:00 GMT", "-w", "%{http_code}", "/files/ten.txt"), "304");
    cr_expect_str_eq(CURL("-z", "Sat, 01 Jan 2000 00:00:00 GMT", "/files/ten.txt"), "0123456789");
    cr_expect_str_eq(
        CURL("-o", "/dev/null", "-w", "%{http_code}", "--path-as-is", "/files/../../etc/passwd"),
        "400");
}

static void expect_curl_zip(void)
{
    cr_expect_eq(strlen(CURL("--compressed", "/zip")), 3000);
    cr_expect_not_null(strstr(CURL("--compressed", "-v", "/zip"), "Content-Encoding: "));
    cr_expect_eq(strlen(CURL("-H", "Accept-Encoding: identity", "/zip")), 3000);
    cr_expect_eq(strlen(CURL("/zip")), 3000);
    cr_expect_eq(strlen(CURL("-H", "Accept-Encoding: gzip", "--compressed", "/zip")), 3000);
}

static void expect_curl_rest(void)
{
    cr_expect_str_eq(CURL("-L", "/go"), "hello");
    cr_expect_not_null(strstr(CURL("-c", "-", "/cookie"), "\tseen\tby-the-server\n"));
    cr_expect_not_null(strstr(CURL("/events"), "data: two\ndata: lines\n"));
    cr_expect_not_null(strstr(CURL("-X", "OPTIONS", "-i", "/hello"), "Allow: "));
    cr_expect_not_null(strstr(CURL("-i", "-H", "Accept: application/json", "/nowhere"),
                              "Content-Type: application/json"));
}

static void expect_curl(bool tls)
{
    start("curl", tls);
    expect_curl_conns();
    expect_curl_bodies();
    expect_curl_files();
    expect_curl_zip();
    expect_curl_rest();
    end();
}

Test(http_clients, curl_understands_us)
{
    expect_curl(false);
}

Test(http_clients, curl_understands_us_over_tls)
{
    expect_curl(true);
}

/* ---- Python ---- */

static void expect_python(bool tls)
{
    char port[16];

    start("python3", tls);
    snprintf(port, sizeof port, "%u", tls ? gallery.tls_port : gallery.port);
    expect_well(RIG_WORDS("python3", CW_SOURCE_DIR "/tests/support/http_visit.py", port,
                          tls ? pki("ca.pem") : NULL));
    end();
}

Test(http_clients, python_understands_us)
{
    expect_python(false);
}

Test(http_clients, python_understands_us_over_tls)
{
    expect_python(true);
}

/* ---- Node ---- */

static void expect_node(bool tls)
{
    start("node", tls);
    if (tls) {
        setenv("NODE_EXTRA_CA_CERTS", pki("ca.pem"), 1);
    }
    expect_well(RIG_WORDS("node", CW_SOURCE_DIR "/tests/support/http_visit.js", base));
    end();
}

Test(http_clients, node_understands_us)
{
    expect_node(false);
}

Test(http_clients, node_understands_us_over_tls)
{
    expect_node(true);
}
