#include "http/http_settings.h"
#include "support/fault.h"
#include "support/leak.h"

#include <causeway/error.h>
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

TestSuite(http_settings, .fini = rig_expect_no_leak, .timeout = 30);

static struct cw_complaint complaint;

static void expect_refused(struct cw_http_options options, const char *text)
{
    complaint.text[0] = '\0';
    cr_expect_eq(cw_http_check_options(&options, &complaint), CW_EINVAL, "%s", text);
    cr_expect_str_eq(complaint.text, text);
}

static struct cw_http_options allowed(struct cw_http_options options)
{
    cr_assert_eq(cw_http_check_options(&options, &complaint), 0, "%s", complaint.text);
    return options;
}

Test(http_settings, zeros_become_the_defaults)
{
    struct cw_http_options options = allowed((struct cw_http_options){0});

    cr_expect_eq(options.head_max_bytes, 16384);
    cr_expect_eq(options.fields_max, 100);
    cr_expect_eq(options.target_max_bytes, 8192);
    cr_expect_eq(options.body_max_bytes, 1048576);
    cr_expect_eq(options.head_ms, 10000);
    cr_expect_eq(options.body_ms, 30000);
    cr_expect_eq(options.body_rate_min, 100);
    cr_expect_eq(options.keep_alive_ms, 60000);
    cr_expect_eq(options.requests_max, 100000);
    cr_expect_eq(options.response_ms, 60000);
    cr_expect_eq(options.discard_max_bytes, 65536);
    cr_expect_eq(options.bodies_max_bytes, 268435456);
    cr_expect_eq(options.forwarded, CW_HTTP_X_FORWARDED);
    cr_expect_null(options.site);
    cr_expect_null(options.cors_origin);
    cr_expect_null(options.server_name);
}

Test(http_settings, what_can_be_lifted_is_and_says_so_in_one_way)
{
    for (int i = 0; i < 2; i++) {
        uint64_t lifted = i == 0 ? CW_NO_LIMIT : CW_OFF;
        struct cw_http_options options = allowed((struct cw_http_options){.body_max_bytes = lifted,
                                                                          .requests_max = lifted,
                                                                          .head_ms = lifted,
                                                                          .body_ms = lifted,
                                                                          .body_rate_min = lifted,
                                                                          .response_ms = lifted});

        cr_expect_eq(options.body_max_bytes, CW_NO_LIMIT);
        cr_expect_eq(options.requests_max, CW_NO_LIMIT);
        cr_expect_eq(options.head_ms, CW_OFF);
        cr_expect_eq(options.body_ms, CW_OFF);
        cr_expect_eq(options.body_rate_min, CW_OFF);
        cr_expect_eq(options.response_ms, CW_OFF);
    }

    struct cw_http_options off =
        allowed((struct cw_http_options){.keep_alive_ms = CW_OFF, .discard_max_bytes = CW_OFF});

    cr_expect_eq(off.keep_alive_ms, CW_OFF);
    cr_expect_eq(off.discard_max_bytes, CW_OFF);
}

Test(http_settings, numbers_out_of_range_are_refused_by_name)
{
    expect_refused((struct cw_http_options){.head_max_bytes = CW_NO_LIMIT},
                   "head_max_bytes: at most 1048576 is allowed");
    expect_refused((struct cw_http_options){.head_max_bytes = 1048577},
                   "head_max_bytes: at most 1048576 is allowed");
    expect_refused((struct cw_http_options){.fields_max = 1001},
                   "fields_max: at most 1000 is allowed");
    expect_refused((struct cw_http_options){.body_max_bytes = (uint64_t)INT64_MAX + 1},
                   "body_max_bytes: at most 9223372036854775807, or CW_NO_LIMIT, is allowed");
    expect_refused((struct cw_http_options){.head_ms = 31536000001},
                   "head_ms: at most 31536000000, or CW_OFF, is allowed");
    expect_refused((struct cw_http_options){.forwarded = (enum cw_http_forwarded)4},
                   "forwarded: no such value of enum cw_http_forwarded");
    expect_refused((struct cw_http_options){.keep_alive_ms = CW_NO_LIMIT},
                   "keep_alive_ms: at most 31536000000, or CW_OFF, is allowed");
    expect_refused((struct cw_http_options){.discard_max_bytes = CW_NO_LIMIT},
                   "discard_max_bytes: at most 1099511627776, or CW_OFF, is allowed");
}

Test(http_settings, a_target_longer_than_the_head_is_a_contradiction_only_when_it_was_asked_for)
{
    expect_refused((struct cw_http_options){.head_max_bytes = 4096, .target_max_bytes = 4097},
                   "target_max_bytes: is above head_max_bytes");
    cr_expect_eq(allowed((struct cw_http_options){.head_max_bytes = 4096}).target_max_bytes, 4096);
}

Test(http_settings, texts_are_copied)
{
    char site[] = "inner";
    char origins[] = "https://a.example, http://localhost:3000 https://*.b.example";
    char name[] = "Causeway";
    struct cw_http_options options = allowed(
        (struct cw_http_options){.site = site, .cors_origin = origins, .server_name = name});

    memset(site, 'x', sizeof site - 1);
    memset(origins, 'x', sizeof origins - 1);
    memset(name, 'x', sizeof name - 1);
    cr_expect_str_eq(options.site, "inner");
    cr_expect_str_eq(options.cors_origin,
                     "https://a.example, http://localhost:3000 https://*.b.example");
    cr_expect_str_eq(options.server_name, "Causeway");
    cw_http_release_options(&options);
}

Test(http_settings, texts_that_a_field_cannot_hold_are_refused)
{
    char longest[1026];

    memset(longest, 'a', sizeof longest - 1);
    longest[sizeof longest - 1] = '\0';
    expect_refused((struct cw_http_options){.server_name = "a\r\nSet-Cookie: b"},
                   "server_name: holds a control character");
    expect_refused((struct cw_http_options){.server_name = ""},
                   "server_name: is empty; NULL is none");
    expect_refused((struct cw_http_options){.server_name = "a "},
                   "server_name: has a space at its end");
    expect_refused((struct cw_http_options){.site = longest}, "site: is longer than 1024 bytes");
    expect_refused((struct cw_http_options){.site = ""}, "site: is empty; NULL is none");
}

Test(http_settings, what_is_no_origin_is_refused_by_name)
{
    static const char *const wrong[] = {
        "a.example",
        "https://a.example/",
        "https://",
        "://a.example",
        "https://a.ex?b",
        "https://u@a.example",
        "https://a.ex\\b",
        "*.example",
        "https://a.example*/",
        "https://a.example\r\nb:",
        "https://\xc3\xa4.example",
    };

    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        struct cw_http_options options = {.cors_origin = wrong[i]};

        cr_expect_eq(cw_http_check_options(&options, &complaint), CW_EINVAL, "%s", wrong[i]);
        cr_expect_eq(strncmp(complaint.text, "cors_origin: ", 13), 0, "%s", complaint.text);
    }
    expect_refused((struct cw_http_options){.cors_origin = " , "},
                   "cors_origin: is empty; NULL is none");

    struct cw_http_options any = allowed((struct cw_http_options){.cors_origin = "*"});

    cw_http_release_options(&any);
}

Test(http_settings, without_memory_nothing_is_kept)
{
    fault_install();
    for (size_t nth = 1; nth <= 3; nth++) {
        struct cw_http_options options = {.site = "a", .cors_origin = "*", .server_name = "b"};

        fault_arm(nth);
        cr_expect_eq(cw_http_check_options(&options, &complaint), CW_ENOMEM);
        cr_expect(fault_disarm());
    }
    fault_remove();
}

Test(http_settings, every_member_has_a_key_of_its_own)
{
    bool at[sizeof(struct cw_http_options) / 8] = {false};
    size_t count = 0;

    for (const struct cw_setting *setting = cw_http_settings; setting->key; setting++) {
        cr_expect_not(at[setting->offset / 8], "%s", setting->key);
        at[setting->offset / 8] = true;
        count++;
    }
    cr_expect_eq(count, sizeof at);
}
