/* Offers and answers of permessage-deflate. */
#include "support/leak.h"
#include "websocket/ws_extension.h"

#include <criterion/criterion.h>
#include <stdio.h>

TestSuite(ws_extension, .fini = rig_expect_no_leak, .timeout = 30);

#define OURS "permessage-deflate"
#define BOTH_FORGET "; server_no_context_takeover; client_no_context_takeover"

static const struct cw_websocket_deflate plain = {.window_bits = 15, .peer_window_bits = 15};
static const struct cw_websocket_deflate keeps = {
    .window_bits = 15, .peer_window_bits = 15, .keep_context = true, .keep_peer_context = true};

/* ---- server ---- */

struct outcome {
    int code;
    struct cw_ws_agreed agreed;
    char answer[CW_WS_EXTENSION_TEXT];
    const char *why;
};

static struct outcome accept_with(const struct cw_websocket_deflate *options, const char *offers)
{
    struct outcome outcome = {.why = NULL};

    outcome.code = cw_ws_accept_offers(cw_span_text(offers), options, &outcome.agreed,
                                       outcome.answer, &outcome.why);
    return outcome;
}

static void expect_answer(const struct cw_websocket_deflate *options, const char *offers,
                          const char *answer)
{
    struct outcome outcome = accept_with(options, offers);

    cr_expect_eq(outcome.code, 0, "%s: %s", offers, outcome.why);
    cr_expect_str_eq(outcome.answer, answer, "%s: %s", offers, outcome.answer);
    cr_expect_eq(outcome.agreed.on, answer[0] != '\0', "%s", offers);
}

static void expect_malformed(const char *offers)
{
    struct outcome outcome = accept_with(&plain, offers);

    cr_expect_eq(outcome.code, -1, "%s", offers);
    cr_expect_not(outcome.agreed.on, "%s", offers);
    cr_expect_str_eq(outcome.answer, "", "%s", offers);
    cr_expect(outcome.why != NULL && outcome.why[0] != '\0', "%s", offers);
}

Test(ws_extension, by_default_neither_side_keeps_a_context)
{
    struct outcome outcome = accept_with(&plain, OURS);

    cr_expect_str_eq(outcome.answer, OURS BOTH_FORGET);
    cr_expect(outcome.agreed.on);
    cr_expect_not(outcome.agreed.keep);
    cr_expect_not(outcome.agreed.peer_keeps);
    cr_expect_eq(outcome.agreed.bits, 15);
    cr_expect_eq(outcome.agreed.peer_bits, 15);
}

Test(ws_extension, options_of_zero_mean_the_largest_windows)
{
    struct cw_websocket_deflate zero = {.level = 0};
    struct outcome outcome = accept_with(&zero, OURS "; client_max_window_bits");

    cr_expect_str_eq(outcome.answer, OURS BOTH_FORGET);
    cr_expect_eq(outcome.agreed.bits, 15);
    cr_expect_eq(outcome.agreed.peer_bits, 15);
}

Test(ws_extension, contexts_are_kept_where_both_sides_let)
{
    struct outcome outcome = accept_with(&keeps, OURS);

    cr_expect_str_eq(outcome.answer, OURS);
    cr_expect(outcome.agreed.keep);
    cr_expect(outcome.agreed.peer_keeps);
    outcome = accept_with(&keeps, OURS "; server_no_context_takeover");
    cr_expect_str_eq(outcome.answer, OURS "; server_no_context_takeover");
    cr_expect_not(outcome.agreed.keep);
    cr_expect(outcome.agreed.peer_keeps);
}

Test(ws_extension, a_client_that_will_forget_is_taken_at_its_word)
{
    struct outcome outcome = accept_with(&keeps, OURS "; client_no_context_takeover");

    cr_expect_str_eq(outcome.answer, OURS "; client_no_context_takeover");
    cr_expect(outcome.agreed.keep);
    cr_expect_not(outcome.agreed.peer_keeps);
}

Test(ws_extension, the_server_keeps_to_the_window_it_is_asked_for)
{
    for (unsigned bits = 8; bits <= 15; bits++) {
        char offer[80];
        char answer[CW_WS_EXTENSION_TEXT];
        (void)snprintf(offer, sizeof offer, OURS "; server_max_window_bits=%u", bits);
        (void)snprintf(answer, sizeof answer, OURS BOTH_FORGET "; server_max_window_bits=%u", bits);
        struct outcome outcome = accept_with(&plain, offer);
        cr_expect_str_eq(outcome.answer, answer);
        cr_expect_eq(outcome.agreed.bits, bits);
        cr_expect_eq(outcome.agreed.peer_bits, 15);
    }
}

Test(ws_extension, the_smaller_of_two_windows_counts)
{
    struct cw_websocket_deflate small = {.window_bits = 10, .peer_window_bits = 11};
    struct outcome outcome =
        accept_with(&small, OURS "; server_max_window_bits=12; client_max_window_bits=13");

    cr_expect_str_eq(outcome.answer,
                     OURS BOTH_FORGET "; server_max_window_bits=10; client_max_window_bits=11");
    cr_expect_eq(outcome.agreed.bits, 10);
    cr_expect_eq(outcome.agreed.peer_bits, 11);
    outcome = accept_with(&small, OURS "; server_max_window_bits=9; client_max_window_bits=8");
    cr_expect_str_eq(outcome.answer,
                     OURS BOTH_FORGET "; server_max_window_bits=9; client_max_window_bits=8");
    cr_expect_eq(outcome.agreed.bits, 9);
    cr_expect_eq(outcome.agreed.peer_bits, 8);
}

Test(ws_extension, a_window_that_was_not_spoken_of_is_not_answered)
{
    struct cw_websocket_deflate small = {.window_bits = 10, .peer_window_bits = 11};
    struct outcome outcome = accept_with(&small, OURS);

    cr_expect_str_eq(outcome.answer, OURS BOTH_FORGET);
    cr_expect_eq(outcome.agreed.bits, 10);
    cr_expect_eq(outcome.agreed.peer_bits, 15);
}

Test(ws_extension, a_bare_client_window_lets_the_server_choose)
{
    struct cw_websocket_deflate small = {.window_bits = 15, .peer_window_bits = 9};

    expect_answer(&small, OURS "; client_max_window_bits",
                  OURS BOTH_FORGET "; client_max_window_bits=9");
    expect_answer(&plain, OURS "; client_max_window_bits", OURS BOTH_FORGET);
    expect_answer(&plain, OURS "; client_max_window_bits=15", OURS BOTH_FORGET);
}

Test(ws_extension, all_four_parameters_are_answered_together)
{
    expect_answer(&keeps, OURS BOTH_FORGET "; server_max_window_bits=8; client_max_window_bits=9",
                  OURS BOTH_FORGET "; server_max_window_bits=8; client_max_window_bits=9");
}

Test(ws_extension, an_offer_that_is_wrong_gives_way_to_the_next)
{
    static const char *const wrong[] = {
        "; unknown",
        "; unknown=1",
        "; server_no_context_takeover=1",
        "; client_no_context_takeover=true",
        "; server_no_context_takeover; server_no_context_takeover",
        "; client_no_context_takeover; client_no_context_takeover",
        "; server_max_window_bits",
        "; server_max_window_bits=7",
        "; server_max_window_bits=16",
        "; server_max_window_bits=08",
        "; server_max_window_bits=010",
        "; server_max_window_bits=100",
        "; server_max_window_bits=1",
        "; server_max_window_bits=1a",
        "; server_max_window_bits=1/",
        "; server_max_window_bits=-9",
        "; server_max_window_bits=9; server_max_window_bits=9",
        "; client_max_window_bits=0",
        "; client_max_window_bits=16",
        "; client_max_window_bits=09",
        "; client_max_window_bits; client_max_window_bits=9",
        "; Server_No_Context_Takeover",
        "; server_max_window_bits=7; unknown",
    };

    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        char offers[200];
        (void)snprintf(offers, sizeof offers, OURS "%s", wrong[i]);
        if (strchr(wrong[i], '/') != NULL) { /* no token */
            expect_malformed(offers);
            continue;
        }
        expect_answer(&keeps, offers, "");
        (void)snprintf(offers, sizeof offers, OURS "%s, " OURS "; server_max_window_bits=11",
                       wrong[i]);
        expect_answer(&keeps, offers, OURS "; server_max_window_bits=11");
    }
}

Test(ws_extension, the_first_that_fits_is_taken)
{
    expect_answer(&keeps,
                  OURS "; server_max_window_bits=10, " OURS "; server_max_window_bits=12, " OURS,
                  OURS "; server_max_window_bits=10");
}

Test(ws_extension, other_extensions_are_left_aside)
{
    expect_answer(&keeps, "x-webkit-deflate-frame, bbf-usp-protocol; a=\"b\"; c", "");
    expect_answer(&keeps, "x-webkit-deflate-frame; no_context_takeover, " OURS, OURS);
    expect_answer(&keeps, OURS "2, permessage-deflat", "");
}

Test(ws_extension, blanks_and_empty_elements_do_not_matter)
{
    expect_answer(&keeps, " \t" OURS "\t;\tserver_max_window_bits = 10 , ,x",
                  OURS "; server_max_window_bits=10");
    expect_answer(&keeps, ",, ," OURS ";client_max_window_bits=10,",
                  OURS "; client_max_window_bits=10");
    expect_answer(&keeps, "", "");
}

Test(ws_extension, values_may_be_quoted)
{
    expect_answer(&keeps, OURS "; server_max_window_bits=\"10\"",
                  OURS "; server_max_window_bits=10");
    expect_answer(&keeps, OURS "; server_max_window_bits=\"1\\2\" ; client_max_window_bits=\"\\9\"",
                  OURS "; server_max_window_bits=12; client_max_window_bits=9");
    expect_malformed("a; b=\"c\\\\\"");
}

Test(ws_extension, what_is_no_list_is_refused)
{
    static const char *const malformed[] = {
        ",",
        " ",
        ";",
        "=",
        OURS ";",
        OURS "; ;",
        OURS "; =1",
        OURS "; a=",
        OURS "; a=,",
        OURS " x",
        OURS "; a b",
        OURS "; a=b c",
        OURS "; a=\"",
        OURS "; a=\"b",
        OURS "; a=\"\"",
        OURS "; a=\"b c\"",
        OURS "; a=\"b\\",
        OURS "; a=\"b\\\"",
        OURS "; a=\"b\\\"\"",
        OURS "; a=\"b,c\"",
        OURS "; a=\"b\"c",
        "(" OURS ")",
        OURS ", ;a",
        OURS ", a; b=\xc3\xa4",
        "\"" OURS "\"",
        OURS "\r\n",
        OURS "; a=b=c",
        OURS "/1",
        OURS ", x y",
        "x; y=\"\x01\"",
    };

    for (size_t i = 0; i < sizeof malformed / sizeof *malformed; i++) {
        expect_malformed(malformed[i]);
    }
}

Test(ws_extension, what_comes_behind_many_offers_is_not_looked_at)
{
    char offers[1024] = "";

    for (int i = 0; i < CW_WS_OFFERS_MAX - 1; i++) {
        strcat(offers, "a, ");
    }
    strcat(offers, OURS);
    expect_answer(&keeps, offers, OURS);
    memmove(offers + 3, offers, strlen(offers) + 1);
    memcpy(offers, "a, ", 3);
    expect_answer(&keeps, offers, "");
}

/* ---- client ---- */

static void expect_offer(const struct cw_websocket_deflate *options, const char *expected)
{
    char offer[CW_WS_EXTENSION_TEXT];

    cw_ws_make_offer(options, offer);
    cr_expect_str_eq(offer, expected, "%s", offer);
}

static struct outcome judge(const struct cw_websocket_deflate *options, const char *answer)
{
    struct outcome outcome = {.why = NULL};
    struct cw_span span = answer != NULL ? cw_span_text(answer) : cw_span_of(NULL, 0);

    outcome.code = cw_ws_judge_answer(span, true, options, &outcome.agreed, &outcome.why);
    return outcome;
}

static void expect_refused(const struct cw_websocket_deflate *options, const char *answer)
{
    struct outcome outcome = judge(options, answer);

    cr_expect_eq(outcome.code, -1, "%s", answer);
    cr_expect_not(outcome.agreed.on, "%s", answer);
    cr_expect(outcome.why != NULL && outcome.why[0] != '\0', "%s", answer);
}

Test(ws_extension, an_offer_asks_for_what_the_options_say)
{
    expect_offer(&plain, OURS BOTH_FORGET "; client_max_window_bits");
    expect_offer(&keeps, OURS "; client_max_window_bits");
    expect_offer(&(struct cw_websocket_deflate){.level = 0},
                 OURS BOTH_FORGET "; client_max_window_bits");
    expect_offer(&(struct cw_websocket_deflate){.window_bits = 8, .peer_window_bits = 14},
                 OURS BOTH_FORGET "; server_max_window_bits=14; client_max_window_bits=8");
}

Test(ws_extension, no_answer_means_no_compression)
{
    struct outcome outcome = judge(&plain, NULL);

    cr_expect_eq(outcome.code, 0);
    cr_expect_not(outcome.agreed.on);
}

Test(ws_extension, what_was_not_offered_must_not_be_answered)
{
    struct cw_ws_agreed agreed;
    const char *why = NULL;

    cr_expect_eq(cw_ws_judge_answer(cw_span_text(OURS), false, &plain, &agreed, &why), -1);
    cr_expect_not_null(why);
    cr_expect_eq(cw_ws_judge_answer(cw_span_of(NULL, 0), false, &plain, &agreed, &why), 0);
    cr_expect_not(agreed.on);
    expect_refused(&keeps, "x-other");
    expect_refused(&keeps, OURS ", x-other");
    expect_refused(&keeps, OURS ", " OURS);
}

Test(ws_extension, an_answer_is_agreed_to)
{
    struct outcome outcome = judge(&keeps, OURS);

    cr_expect_eq(outcome.code, 0);
    cr_expect(outcome.agreed.on);
    cr_expect(outcome.agreed.keep);
    cr_expect(outcome.agreed.peer_keeps);
    cr_expect_eq(outcome.agreed.bits, 15);
    cr_expect_eq(outcome.agreed.peer_bits, 15);
    outcome =
        judge(&keeps, OURS BOTH_FORGET "; server_max_window_bits=\"9\"; client_max_window_bits=8");
    cr_expect_eq(outcome.code, 0);
    cr_expect_not(outcome.agreed.keep);
    cr_expect_not(outcome.agreed.peer_keeps);
    cr_expect_eq(outcome.agreed.bits, 8);
    cr_expect_eq(outcome.agreed.peer_bits, 9);
}

Test(ws_extension, a_client_keeps_its_context_only_if_it_wants_to)
{
    struct outcome outcome = judge(&plain, OURS "; server_no_context_takeover");

    cr_expect_eq(outcome.code, 0);
    cr_expect_not(outcome.agreed.keep);
}

Test(ws_extension, an_answer_that_leaves_out_a_demand_is_refused)
{
    struct cw_websocket_deflate small = {
        .peer_window_bits = 10, .keep_context = true, .keep_peer_context = true};

    expect_refused(&plain, OURS);
    expect_refused(&small, OURS);
    expect_refused(&small, OURS "; server_max_window_bits=11");
    cr_expect_eq(judge(&small, OURS "; server_max_window_bits=10").agreed.peer_bits, 10);
    cr_expect_eq(judge(&small, OURS "; server_max_window_bits=8").agreed.peer_bits, 8);
}

Test(ws_extension, an_answer_may_allow_more_than_the_client_will_use)
{
    struct cw_websocket_deflate small = {
        .window_bits = 10, .keep_context = true, .keep_peer_context = true};

    cr_expect_eq(judge(&small, OURS "; client_max_window_bits=12").agreed.bits, 10);
    cr_expect_eq(judge(&small, OURS).agreed.bits, 10);
}

Test(ws_extension, an_answer_with_wrong_parameters_is_refused)
{
    static const char *const wrong[] = {
        OURS "; client_max_window_bits",
        OURS "; client_max_window_bits=7",
        OURS "; client_max_window_bits=16",
        OURS "; client_max_window_bits=09",
        OURS "; server_max_window_bits",
        OURS "; server_max_window_bits=x",
        OURS "; server_no_context_takeover=1",
        OURS "; client_no_context_takeover; client_no_context_takeover",
        OURS "; unknown",
        OURS "; ",
        OURS "; a=\"",
        OURS " x",
        OURS ", ;",
        "",
        ",",
    };

    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        expect_refused(&keeps, wrong[i]);
    }
}

Test(ws_extension, both_sides_of_ours_agree_whatever_their_options)
{
    for (unsigned i = 0; i < 1U << 12; i++) {
        struct cw_websocket_deflate client = {
            8 + (i & 7), 0, 8 + (i & 7), 8 + (i >> 3 & 7), (i >> 6 & 1) != 0, (i >> 7 & 1) != 0};
        struct cw_websocket_deflate server = {8 + (i >> 8 & 3) * 2, 0,
                                              8 + (i >> 8 & 3) * 2, 13,
                                              (i >> 10 & 1) != 0,   (i >> 11 & 1) != 0};
        char offer[CW_WS_EXTENSION_TEXT];
        struct cw_ws_agreed here;
        const char *why = "";
        cw_ws_make_offer(&client, offer);
        struct outcome there = accept_with(&server, offer);
        cr_assert(there.agreed.on);
        cr_assert_eq(cw_ws_judge_answer(cw_span_text(there.answer), true, &client, &here, &why), 0,
                     "%s: %s: %s", offer, there.answer, why);
        cr_assert_eq(here.keep, there.agreed.peer_keeps);
        cr_assert_eq(here.peer_keeps, there.agreed.keep);
        cr_assert_leq(here.bits, there.agreed.peer_bits);
        cr_assert_leq(there.agreed.bits, here.peer_bits);
    }
}
