/* The programs of docs/recipes.md that speak TLS, against each other and against openssl. */
#include "support/child.h"
#include "support/leak.h"
#include "support/pki.h"
#include "support/wait.h"

#include <criterion/criterion.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { WORDS_MAX = 20, PATH_CAP = 512, ADDRESS_CAP = 40 };

static void need_certificates(void)
{
    if (!pki_made()) {
        cr_skip_test("the openssl command was missing when this was built");
    }
}

TestSuite(recipes_tls, .init = need_certificates, .fini = rig_expect_no_leak, .timeout = 120);

static void start(struct rig_child *child, const char *name, const char *first, const char *second,
                  const char *third, const char *fourth)
{
    char path[PATH_CAP];
    const char *words[] = {path, first, second, third, fourth, NULL};

    snprintf(path, sizeof path, "%s/tests/recipes/recipe_%s", CW_BUILD_DIR, name);
    rig_child_start(child, path, (char *const *)(uintptr_t)words);
}

static unsigned port_of(struct rig_child *child)
{
    const char *at;
    unsigned port;

    rig_child_await_text(child, "listening on tls://[::]:");
    at = strstr(child->text, "[::]:");
    rig_check(at != NULL && sscanf(at, "[::]:%u", &port) == 1);
    return port;
}

static void end(struct rig_child *child)
{
    rig_child_signal(child, SIGTERM);
    cr_expect_eq(rig_child_join(child), 0, "%s", child->text);
}

static void s_client(struct rig_child *child, unsigned port, const char *const *options)
{
    char address[ADDRESS_CAP];
    const char *words[WORDS_MAX] = {
        "env",     "openssl",     "s_client", "-quiet", "-verify_return_error",
        "-CAfile", pki("ca.pem"), "-connect", address};
    size_t count = 9;

    snprintf(address, sizeof address, "127.0.0.1:%u", port);
    for (; *options != NULL; options++) {
        rig_check(count < WORDS_MAX - 1);
        words[count++] = *options;
    }
    rig_child_start_fed(child, "/usr/bin/env", (char *const *)(uintptr_t)words);
}

#define WORDS(...)                                                                                 \
    (const char *const[])                                                                          \
    {                                                                                              \
        __VA_ARGS__, NULL                                                                          \
    }

static void start_server(struct rig_child *server)
{
    start(server, "tls", "0", pki("server.pem"), pki("server.key"), pki("ca.pem"));
}

Test(recipes_tls, who_shows_a_certificate_is_greeted_by_name_and_the_others_are_guests)
{
    struct rig_child server;
    struct rig_child peer;

    start_server(&server);
    unsigned port = port_of(&server);
    s_client(&peer, port, WORDS("-cert", pki("client.pem"), "-key", pki("client.key")));
    rig_child_await_text(&peer, "hello, O=Causeway tests, CN=client");
    rig_child_signal(&peer, SIGTERM);
    rig_child_join(&peer);
    s_client(&peer, port, WORDS(NULL));
    rig_child_await_text(&peer, "hello, guest");
    rig_child_signal(&peer, SIGTERM);
    rig_child_join(&peer);
    end(&server);
}

Test(recipes_tls, the_client_hears_the_server_that_its_ca_vouches_for_and_no_other)
{
    struct rig_child server;
    struct rig_child peer;
    char address[ADDRESS_CAP];

    start_server(&server);
    snprintf(address, sizeof address, "localhost:%u", port_of(&server));
    start(&peer, "tls_client", address, pki("ca.pem"), NULL, NULL);
    cr_expect_eq(rig_child_join(&peer), 0, "%s", peer.text);
    cr_expect_not_null(strstr(peer.text, ", verified\nhello, guest\n"), "%s", peer.text);
    start(&peer, "tls_client", address, pki("rogue_ca.pem"), NULL, NULL);
    cr_expect_eq(rig_child_join(&peer), 1, "%s", peer.text);
    cr_expect_not_null(strstr(peer.text, "signed by an unknown CA"), "%s", peer.text);
    end(&server);
}

Test(recipes_tls, a_connection_becomes_tls_when_the_peer_asks_for_it)
{
    struct rig_child server;
    struct rig_child peer;

    start(&server, "starttls", "0", pki("server.pem"), pki("server.key"), NULL);
    rig_child_await_text(&server, "listening on ");
    const char *at = strstr(server.text, "[::]:");
    unsigned port = 0;
    rig_check(at != NULL && sscanf(at, "[::]:%u", &port) == 1);
    s_client(&peer, port, WORDS("-starttls", "smtp", "-crlf"));
    rig_child_await_text(&peer, "250 STARTTLS");
    rig_child_type(&peer, "NOOP");
    rig_child_await_text(&peer, "250 safe");
    rig_child_signal(&peer, SIGTERM);
    rig_child_join(&peer);
    end(&server);
}
