/* Chromium loads a page of ours, and the page tells us what it has found. Skipped where there is no Chromium. */
#include "support/http_gallery.h"
#include "support/leak.h"
#include "support/secure.h"
#include "support/wait.h"

#include <causeway/log.h>
#include <criterion/criterion.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static struct http_gallery gallery;
static struct rig_child browser;

static void init(void)
{
    cw_log_set_level(CW_LOG_SILENT);
    if (!rig_has_program("chromium")) {
        cr_skip_test("chromium is not installed");
    }
}

TestSuite(http_browser, .init = init, .fini = rig_expect_no_leak, .timeout = 115);

/* A file of the gallery from one of tests/support. */
static void copy(const char *from, const char *to)
{
    char path[256];
    char text[8192];
    FILE *file;

    snprintf(path, sizeof path, CW_SOURCE_DIR "/tests/support/%s", from);
    file = fopen(path, "re");
    cr_assert_not_null(file);
    text[fread(text, 1, sizeof text - 1, file)] = '\0';
    fclose(file);
    http_gallery_put(&gallery, to, text);
}

static void start(void)
{
    http_gallery_start(&gallery, NULL, NULL);
    copy("browser_page.html", "index.html");
    copy("browser_page.js", "page.js");
    http_gallery_put(&gallery, "page.css", "#styled { color: rgb(1, 2, 3); }\n");
}

/* With a profile of its own in the gallery's folder, and without a word to the outside. */
static void open_page(const char *url)
{
    char profile[128];

    snprintf(profile, sizeof profile, "--user-data-dir=%s", http_gallery_at(&gallery, "profile"));
    setenv("HOME", gallery.folder, 1);
    rig_start_words(&browser,
                    RIG_WORDS("chromium", "--headless=new",
                              geteuid() == 0 ? "--no-sandbox" : "--no-first-run", "--disable-gpu",
                              "--disable-dev-shm-usage", "--disable-background-networking",
                              "--disable-component-update", "--log-level=3", "--disable-sync",
                              "--no-default-browser-check", "--ignore-certificate-errors",
                              "--host-resolver-rules=MAP * 127.0.0.1", profile, url));
}

static void await_result(void)
{
    uint64_t deadline = rig_now_ms() + 4 * RIG_DEADLINE_MS; /* a browser takes its time to start */

    while (atomic_load(&gallery.results) == 0) {
        cr_assert(rig_rest(deadline), "the page says nothing");
    }
}

static void expect_good(const char *url)
{
    static const char *const tries[] = {"stylesheet", "json", "fetches", "cookies",
                                        "upload",     "form", "events"};
    const char *result;

    open_page(url);
    await_result();
    result = http_gallery_result(&gallery);
    for (size_t i = 0; i < sizeof tries / sizeof tries[0]; i++) {
        char line[64];

        snprintf(line, sizeof line, "%s: good", tries[i]);
        cr_expect_not_null(strstr(result, line), "no \"%s\" in:\n%s", line, result);
    }
    rig_child_signal(&browser, SIGTERM);
    rig_child_join(&browser);
    http_gallery_end(&gallery);
}

Test(http_browser, chromium_makes_of_a_page_what_it_should)
{
    char url[64];

    start();
    snprintf(url, sizeof url, "http://127.0.0.1:%u/files/", gallery.port);
    expect_good(url);
}

Test(http_browser, chromium_does_so_over_tls)
{
    char url[64];

    start();
    if (gallery.tls_port == 0) {
        http_gallery_end(&gallery);
        cr_skip_test("the openssl command was missing when this was built");
    }
    snprintf(url, sizeof url, "https://localhost:%u/files/", gallery.tls_port);
    expect_good(url);
}
