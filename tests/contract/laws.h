/* The laws that every protocol keeps, for any input. A protocol's contract is its vectors and LAWS_HOLD. */
#ifndef CAUSEWAY_TESTS_LAWS_H
#define CAUSEWAY_TESTS_LAWS_H

#include "support/leak.h"
#include "support/rig.h"

#include <criterion/criterion.h>

struct law_vector {
    const char *name;
    struct rig_setup setup; /* protocol, options, role, merge; the laws set the rest */
    struct cw_span input;
    bool ends;             /* the peer ends its input after it */
    const char *story;     /* what the application sees: see support/rig.h */
    struct cw_span output; /* what the peer gets from an application that sends every message back */
    size_t refused_at; /* the byte of input, counted from 1, that it is refused at; 0: it is not */
};

/* 1. Fed whole, byte by byte and cut at every point: the same messages, the same output. */
void law_of_cuts(const struct law_vector *vectors, size_t count);

/* 2. No span is needed after its callback: the rig overwrites each one, and what should follow, follows. */
void law_of_spans(const struct law_vector *vectors, size_t count);

/* 3. What breaks a rule or a limit is refused at the first byte that shows it. */
void law_of_refusal(const struct law_vector *vectors, size_t count);

/* 4. Closing in any hook, at any byte, frees everything and reports on_close once. */
void law_of_closing(const struct law_vector *vectors, size_t count);

/* 5. With every allocation failing in turn: an error code, never a crash, a leak or a wrong message. */
void law_of_memory(const struct law_vector *vectors, size_t count);

/* 6. Taken by the peer one byte at a time, the output arrives unchanged. */
void law_of_slow_peers(const struct law_vector *vectors, size_t count);

/* 7. Held and released input keeps its order. */
void law_of_holding(const struct law_vector *vectors, size_t count);

/* 1, 4 and 6 once more, over TLS and real sockets (laws_tls.c); for the server's role. */
void law_of_cuts_over_tls(const struct law_vector *vectors, size_t count);
void law_of_closing_over_tls(const struct law_vector *vectors, size_t count);
void law_of_slow_peers_over_tls(const struct law_vector *vectors, size_t count);

#define LAW_COUNT(vectors) (sizeof(vectors) / sizeof((vectors)[0]))

/* One test for each law. */
#define LAWS_HOLD(suite, vectors)                                                                  \
    TestSuite(suite, .fini = rig_expect_no_leak, .timeout = 60);                                   \
    Test(suite, cuts_change_neither_messages_nor_output)                                           \
    {                                                                                              \
        law_of_cuts(vectors, LAW_COUNT(vectors));                                                  \
    }                                                                                              \
    Test(suite, no_span_is_needed_after_its_callback)                                              \
    {                                                                                              \
        law_of_spans(vectors, LAW_COUNT(vectors));                                                 \
    }                                                                                              \
    Test(suite, a_broken_rule_is_refused_at_the_first_byte_that_shows_it)                          \
    {                                                                                              \
        law_of_refusal(vectors, LAW_COUNT(vectors));                                               \
    }                                                                                              \
    Test(suite, closing_in_any_hook_is_reported_once_and_frees_everything)                         \
    {                                                                                              \
        law_of_closing(vectors, LAW_COUNT(vectors));                                               \
    }                                                                                              \
    Test(suite, any_allocation_may_fail)                                                           \
    {                                                                                              \
        law_of_memory(vectors, LAW_COUNT(vectors));                                                \
    }                                                                                              \
    Test(suite, a_peer_that_takes_one_byte_at_a_time_gets_them_all)                                \
    {                                                                                              \
        law_of_slow_peers(vectors, LAW_COUNT(vectors));                                            \
    }                                                                                              \
    Test(suite, held_and_released_input_keeps_its_order)                                           \
    {                                                                                              \
        law_of_holding(vectors, LAW_COUNT(vectors));                                               \
    }                                                                                              \
    Test(suite, over_tls_cuts_change_neither_messages_nor_output)                                  \
    {                                                                                              \
        law_of_cuts_over_tls(vectors, LAW_COUNT(vectors));                                         \
    }                                                                                              \
    Test(suite, over_tls_closing_in_any_hook_is_reported_once_and_frees_everything)                \
    {                                                                                              \
        law_of_closing_over_tls(vectors, LAW_COUNT(vectors));                                      \
    }                                                                                              \
    Test(suite, over_tls_output_that_leaves_one_byte_at_a_time_arrives_unchanged)                  \
    {                                                                                              \
        law_of_slow_peers_over_tls(vectors, LAW_COUNT(vectors));                                   \
    }

#endif
