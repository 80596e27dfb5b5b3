/* The chat's page as Chromium shows it: two windows, a restart of the server, the keyboard, the dark, a narrow screen. */
#include "support/child.h"
#include "support/leak.h"
#include "support/secure.h"

#include <criterion/criterion.h>
#include <unistd.h>

TestSuite(chat_browser, .fini = rig_expect_no_leak, .timeout = 115);

Test(chat_browser, two_windows_chat_over_a_restart_and_all_that_the_page_offers_works)
{
    static char env[] = "env";
    static char node[] = "node";
    static char script[] = CW_SOURCE_DIR "/tests/support/chat_browser.mjs";
    static char program[] = CW_BUILD_DIR "/examples/chat/chat";
    static char folder[] = CW_BUILD_DIR "/tests";
    static const char *const sights[] = {
        "Chromium is there",
        "Ada is in tea",
        "Grace is in tea",
        "Katherine is in coffee",
        "a picture is taken of three people in a room",
        "Bob is in lobby",
        "two windows chat",
        "markup in a name and in a message stays text",
        "a private message is marked unread, then read, and answered",
        "a room that is not looked at is marked too",
        "after a restart both are back in their room, and the unsent message is there",
        "what was written meanwhile arrives in its order",
        "what is too long is said before it is sent",
        "the keyboard does it all",
        "a page that is loaded anew is in its room again",
        "it is dark where that is wanted, and fits a narrow screen",
        "the server ends in good order while pages are open",
    };
    struct rig_child child;

    if (!rig_has_program("node") || !rig_has_program("chromium") || access(program, X_OK) != 0) {
        cr_skip_test("node, chromium or the examples are missing");
    }
    rig_child_start(&child, "/usr/bin/env",
                    (char *const[]){env, node, script, program, folder, NULL});
    for (size_t i = 0; i < sizeof sights / sizeof sights[0]; i++) {
        rig_child_await_text(&child, sights[i]);
    }
    cr_expect_eq(rig_child_join(&child), 0, "%s", child.text);
}
