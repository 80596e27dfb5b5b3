#include "support/leak.h"

#include <causeway/error.h>
#include <causeway/hash.h>
#include <criterion/criterion.h>

TestSuite(hash, .fini = rig_expect_no_leak, .timeout = 30);

static const struct cw_hash_seed paper = {{0x0706050403020100U, 0x0f0e0d0c0b0a0908U}};

Test(hash, the_papers_vectors_come_out)
{
    /* Appendix A of the paper: bytes 00 01 02 … 0e under the key 00 01 … 0f. The shorter ones are the first
     * of its authors' table for inputs of every length. */
    static const uint64_t expected[] = {
        0x726fdb47dd0e0e31U, 0x74f839c593dc67fdU, 0x0d6c8009d9a94f5aU,
        0x85676696d7fb7e2dU, 0xcf2794e0277187b7U, 0x18765564cd99a68dU,
        0xcbc9466e58fee3ceU, 0xab0200f58b01d137U, 0x93f5f5799a932462U,
    };
    uint8_t bytes[15];

    for (uint8_t i = 0; i < sizeof bytes; i++) {
        bytes[i] = i;
    }
    for (size_t len = 0; len < sizeof expected / sizeof expected[0]; len++) {
        cr_expect_eq(cw_hash(&paper, cw_span_of(bytes, len)), expected[len], "%zu bytes", len);
    }
    cr_expect_eq(cw_hash(&paper, cw_span_of(bytes, 15)), 0xa129ca6149be45e5U);
}

Test(hash, every_seed_hashes_differently)
{
    struct cw_hash_seed one;
    struct cw_hash_seed other;

    cr_assert_eq(cw_hash_seed(&one), CW_OK);
    cr_assert_eq(cw_hash_seed(&other), CW_OK);
    cr_expect_neq(cw_hash(&one, cw_span_text("lobby")), cw_hash(&other, cw_span_text("lobby")));
    cr_expect_eq(cw_hash(&one, cw_span_text("lobby")), cw_hash(&one, cw_span_text("lobby")));
}

Test(hash, no_bytes_at_all_may_be_hashed)
{
    cr_expect_eq(cw_hash(&paper, cw_span_of(NULL, 0)), 0x726fdb47dd0e0e31U);
}
