/* The laws that every protocol of datagrams keeps, for any datagrams. Its contract is its vectors and LAWS_OF_DATAGRAMS_HOLD.
 *
 * Of the laws of streams those of cuts and of slow peers say nothing here: a datagram comes whole, and what cannot be sent now is not
 * sent later. In their place stand loss, doubles and any order. */
#ifndef CAUSEWAY_TESTS_LAWS_DATAGRAM_H
#define CAUSEWAY_TESTS_LAWS_DATAGRAM_H

#include "support/leak.h"
#include "support/rig.h"

#include <criterion/criterion.h>

struct datagram_vector {
    const char *name;
    struct rig_setup setup; /* protocol, options, role; the laws set the rest */
    const struct cw_span *datagrams;
    size_t count;
    const char *story; /* what the application sees when all come in order: see support/rig.h */
    const char *
        sent; /* what the peer gets from an application that sends every message back, one line a datagram */
    bool ordered; /* what a datagram comes to depends on those before it */
};

/* 1. However many come in a turn, and however few messages a turn may have: the same messages, the same answers. */
void law_of_batches(const struct datagram_vector *vectors, size_t count);

/* 2. Lost, doubled, in any order: what arrives is judged by itself or, where the protocol has an order, no message is told that none
 * sent, and the connection ends at most once. */
void law_of_losses(const struct datagram_vector *vectors, size_t count);

/* 3. Closing in any hook frees everything, reports on_close once, and nothing is delivered or sent behind it. */
void law_of_datagram_closing(const struct datagram_vector *vectors, size_t count);

/* 4. What comes while it is paused is dropped and counted, and what comes later is heard. */
void law_of_pauses(const struct datagram_vector *vectors, size_t count);

/* 5. With every allocation failing in turn: an error code, never a crash, a leak or a wrong message. */
void law_of_datagram_memory(const struct datagram_vector *vectors, size_t count);

/* 6. What has been heard once costs no memory the second time. */
void law_of_steady_state(const struct datagram_vector *vectors, size_t count);

/* 7. An answer that cannot be sent is lost, and nothing else: the peer is heard on, and later answers arrive. */
void law_of_full_sockets(const struct datagram_vector *vectors, size_t count);

/* 8. `encode` makes the bytes of `send`, and refuses what that refuses. */
void law_of_encoding(const struct datagram_vector *vectors, size_t count);

#define LAW_DATAGRAMS(...)                                                                         \
    .datagrams = (const struct cw_span[]){__VA_ARGS__},                                            \
    .count = sizeof((const struct cw_span[]){__VA_ARGS__}) / sizeof(struct cw_span)
#define LAW_BYTES(literal)                                                                         \
    {                                                                                              \
        (const uint8_t *)(literal), sizeof(literal) - 1                                            \
    }
#define LAW_DATAGRAM_COUNT(vectors) (sizeof(vectors) / sizeof((vectors)[0]))

/* One test for each law. */
#define LAWS_OF_DATAGRAMS_HOLD(suite, vectors)                                                     \
    TestSuite(suite, .fini = rig_expect_no_leak, .timeout = 60);                                   \
    Test(suite, batches_change_neither_messages_nor_answers)                                       \
    {                                                                                              \
        law_of_batches(vectors, LAW_DATAGRAM_COUNT(vectors));                                      \
    }                                                                                              \
    Test(suite, any_loss_and_any_order_leave_a_sound_state)                                        \
    {                                                                                              \
        law_of_losses(vectors, LAW_DATAGRAM_COUNT(vectors));                                       \
    }                                                                                              \
    Test(suite, closing_in_any_hook_is_reported_once_and_nothing_follows)                          \
    {                                                                                              \
        law_of_datagram_closing(vectors, LAW_DATAGRAM_COUNT(vectors));                             \
    }                                                                                              \
    Test(suite, what_comes_while_paused_is_dropped_and_counted)                                    \
    {                                                                                              \
        law_of_pauses(vectors, LAW_DATAGRAM_COUNT(vectors));                                       \
    }                                                                                              \
    Test(suite, any_allocation_may_fail_for_datagrams)                                             \
    {                                                                                              \
        law_of_datagram_memory(vectors, LAW_DATAGRAM_COUNT(vectors));                              \
    }                                                                                              \
    Test(suite, a_datagram_like_those_before_it_costs_no_allocation)                               \
    {                                                                                              \
        law_of_steady_state(vectors, LAW_DATAGRAM_COUNT(vectors));                                 \
    }                                                                                              \
    Test(suite, an_answer_that_cannot_be_sent_is_lost_alone)                                       \
    {                                                                                              \
        law_of_full_sockets(vectors, LAW_DATAGRAM_COUNT(vectors));                                 \
    }                                                                                              \
    Test(suite, encode_makes_the_bytes_of_send)                                                    \
    {                                                                                              \
        law_of_encoding(vectors, LAW_DATAGRAM_COUNT(vectors));                                     \
    }

#endif
