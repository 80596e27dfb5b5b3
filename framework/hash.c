/* SipHash-2-4: two rounds for each word of input, four at the end. */
#include <causeway/error.h>
#include <causeway/hash.h>
#include <sys/random.h>

struct state {
    uint64_t v0, v1, v2, v3;
};

static uint64_t rotate(uint64_t value, unsigned bits)
{
    return value << bits | value >> (64 - bits);
}

static void rounds(struct state *s, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        s->v0 += s->v1;
        s->v2 += s->v3;
        s->v1 = rotate(s->v1, 13) ^ s->v0;
        s->v3 = rotate(s->v3, 16) ^ s->v2;
        s->v0 = rotate(s->v0, 32);
        s->v2 += s->v1;
        s->v0 += s->v3;
        s->v1 = rotate(s->v1, 17) ^ s->v2;
        s->v3 = rotate(s->v3, 21) ^ s->v0;
        s->v2 = rotate(s->v2, 32);
    }
}

static void take_word(struct state *s, uint64_t word)
{
    s->v3 ^= word;
    rounds(s, 2);
    s->v0 ^= word;
}

/* Written out, for compilers make one load of it. */
static uint64_t load_word(const uint8_t *p)
{
    return (uint64_t)p[0] | (uint64_t)p[1] << 8 | (uint64_t)p[2] << 16 | (uint64_t)p[3] << 24 |
           (uint64_t)p[4] << 32 | (uint64_t)p[5] << 40 | (uint64_t)p[6] << 48 |
           (uint64_t)p[7] << 56;
}

static uint64_t load_le(const uint8_t *data, size_t len)
{
    uint64_t word = 0;

    for (size_t i = 0; i < len; i++) {
        word |= (uint64_t)data[i] << (8 * i);
    }
    return word;
}

uint64_t cw_hash(const struct cw_hash_seed *seed, struct cw_span bytes)
{
    /* The paper's constants: "somepseudorandomlygeneratedbytes". */
    struct state s = {
        seed->words[0] ^ 0x736f6d6570736575U,
        seed->words[1] ^ 0x646f72616e646f6dU,
        seed->words[0] ^ 0x6c7967656e657261U,
        seed->words[1] ^ 0x7465646279746573U,
    };
    size_t whole = bytes.len - bytes.len % 8;

    for (size_t at = 0; at < whole; at += 8) {
        take_word(&s, load_word(bytes.data + at));
    }
    uint64_t rest = bytes.len == whole ? 0 : load_le(bytes.data + whole, bytes.len - whole);
    take_word(&s, rest | (uint64_t)bytes.len << 56);
    s.v2 ^= 0xff;
    rounds(&s, 4);
    return s.v0 ^ s.v1 ^ s.v2 ^ s.v3;
}

int cw_hash_seed(struct cw_hash_seed *seed)
{
    /* Up to 256 bytes come whole or not at all. */
    ssize_t got = getrandom(seed, sizeof *seed, 0);

    return got == (ssize_t)sizeof *seed ? CW_OK : CW_EOS;
}
