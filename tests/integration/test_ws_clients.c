/* Other people's clients: ws for Node.js, websockets for Python, Bun, curl's upgrade, Chromium; with TLS and without. Each is skipped
 * where it is not installed. */
#include "support/leak.h"
#include "support/pki.h"
#include "support/secure.h"
#include "support/wait.h"
#include "support/ws_gallery.h"

#include <causeway/log.h>
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct ws_gallery gallery;
static struct rig_child child;
static char base[64];

static void init(void)
{
    cw_log_set_level(CW_LOG_SILENT);
}

TestSuite(ws_clients, .init = init, .fini = rig_expect_no_leak, .timeout = 115);

static bool succeeds(const char *const *words)
{
    struct rig_child quiet;

    return rig_run_words(&quiet, words) == 0;
}

static void start(const char *scheme, bool tls)
{
    if (tls && !pki_made()) {
        cr_skip_test("the openssl command was missing when this was built");
    }
    ws_gallery_start(&gallery, NULL, NULL);
    snprintf(base, sizeof base, tls ? "%ss://localhost:%u" : "%s://127.0.0.1:%u", scheme,
             tls ? gallery.tls_port : gallery.port);
}

/* Each step has the time of one. */
static void expect_steps(void)
{
    static const char *const steps[] = {"echoes", "large", "compressed", "closes",
                                        "pings",  "names", "refused"};
    char line[32];
    int status;

    for (size_t i = 0; i < sizeof steps / sizeof steps[0]; i++) {
        snprintf(line, sizeof line, "%s: good", steps[i]);
        rig_child_await_text(&child, line);
    }
    status = rig_child_join(&child);
    cr_expect_eq(status, 0, "%d: %s", status, child.text);
    cr_expect_not_null(strstr(child.text, "all is well"), "%s", child.text);
    ws_gallery_end(&gallery);
}

static void expect_well(const char *const *words)
{
    rig_start_words(&child, words);
    expect_steps();
}

/* ---- Node.js ---- */

/* Where Debian's node-ws stands; an own NODE_PATH comes first. */
static void visit_by_node(bool tls)
{
    char path[512];
    const char *own = getenv("NODE_PATH");

    snprintf(path, sizeof path, "%s%s/usr/share/nodejs:/usr/lib/nodejs", own ? own : "",
             own ? ":" : "");
    setenv("NODE_PATH", path, 1);
    if (!succeeds(RIG_WORDS("node", "-e", "require('ws')"))) {
        cr_skip_test("ws for Node.js is not installed");
    }
    if (tls) {
        setenv("NODE_EXTRA_CA_CERTS", pki("ca.pem"), 1);
    }
    start("ws", tls);
    expect_well(RIG_WORDS("node", CW_SOURCE_DIR "/tests/support/ws_visit.js", base));
}

Test(ws_clients, ws_of_node_finds_all_well)
{
    visit_by_node(false);
}

Test(ws_clients, ws_of_node_finds_all_well_over_tls)
{
    visit_by_node(true);
}

Test(ws_clients, bun_finds_all_well)
{
    if (!rig_has_program("bun")) {
        cr_skip_test("bun is not installed");
    }
    start("ws", false);
    expect_well(RIG_WORDS("bun", CW_SOURCE_DIR "/tests/support/ws_visit.js", base));
}

/* ---- Python ---- */

/* The interpreter that has it need not be the first one in PATH. */
static void visit_by_python(bool tls)
{
    static const char *const interpreters[] = {"python3", "/usr/bin/python3"};
    const char *python = NULL;

    for (size_t i = 0; i < 2 && !python; i++) {
        if (succeeds(RIG_WORDS("env", interpreters[i], "-c", "import websockets.client"))) {
            python = interpreters[i];
        }
    }
    if (!python) {
        cr_skip_test("websockets for Python is not installed");
    }
    start("ws", tls);
    expect_well(RIG_WORDS("env", python, CW_SOURCE_DIR "/tests/support/ws_visit.py", base,
                          tls ? pki("ca.pem") : NULL));
}

Test(ws_clients, websockets_of_python_finds_all_well)
{
    visit_by_python(false);
}

Test(ws_clients, websockets_of_python_finds_all_well_over_tls)
{
    visit_by_python(true);
}

/* ---- Chromium ---- */

static void visit_by_chromium(bool tls)
{
    if (!rig_has_program("chromium") || !rig_has_program("node")) {
        cr_skip_test("chromium or node is not installed");
    }
    start("http", tls);
    rig_start_words(&child, RIG_WORDS("node", CW_SOURCE_DIR "/tests/support/ws_browser.mjs", base));
    rig_child_await_text(&child, "Chromium is there"); /* on a busy machine this takes the longest */
    rig_child_await_text(&child, "the page is there");
    expect_steps();
}

Test(ws_clients, chromium_finds_all_well)
{
    visit_by_chromium(false);
}

Test(ws_clients, chromium_finds_all_well_over_tls)
{
    visit_by_chromium(true);
}

/* ---- curl ---- */

/* curl knows nothing of frames: it asks for the upgrade, and writes what follows as it comes. */
Test(ws_clients, curl_is_upgraded)
{
    char url[96];

    if (!rig_has_program("curl")) {
        cr_skip_test("curl is not installed");
    }
    start("http", false);
    snprintf(url, sizeof url, "%s/names", base);
    rig_start_words(&child, RIG_WORDS("curl", "-sS", "-i", "-N", "--http1.1", "--noproxy", "*",
                                      "-H", "Connection: Upgrade", "-H", "Upgrade: websocket", "-H",
                                      "Sec-WebSocket-Version: 13", "-H",
                                      "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==", "-H",
                                      "Sec-WebSocket-Protocol: a", url));
    rig_child_await_text(&child, "Sec-WebSocket-Accept"); /* what follows is on its way then */
    ws_gallery_end(&gallery);
    rig_child_join(&child);
    cr_expect_eq(strncmp(child.text, "HTTP/1.1 101 ", 13), 0, "%s", child.text);
    cr_expect_not_null(strstr(child.text, "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"),
                       "%s", child.text);
    cr_expect_not_null(strstr(child.text, "Sec-WebSocket-Protocol: a\r\n"), "%s", child.text);
    cr_expect_not_null(strstr(child.text, "\r\n\r\n\x81\x01"
                                          "a"),
                       "%s", child.text);
}

Test(ws_clients, curl_without_an_upgrade_is_told_what_is_needed)
{
    char url[96];

    if (!rig_has_program("curl")) {
        cr_skip_test("curl is not installed");
    }
    start("http", false);
    snprintf(url, sizeof url, "%s/ws", base);
    rig_run_words(&child, RIG_WORDS("curl", "-sS", "-i", "--max-time", "20", "--noproxy", "*", url));
    cr_expect_eq(strncmp(child.text, "HTTP/1.1 426 ", 13), 0, "%s", child.text);
    cr_expect_not_null(strstr(child.text, "Upgrade: websocket\r\n"), "%s", child.text);
    ws_gallery_end(&gallery);
}
