/* What compressing and inflating one message costs, by library: no context kept, and no two messages alike.
 *
 *     bench/deflate [rounds]
 *
 * CPU per message in microseconds: of all rounds the quickest. What zlib has compressed at its default level, as most peers do, is what
 * is inflated. */
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <zlib.h>
#ifdef BENCH_LIBDEFLATE
#include <libdeflate.h>
#endif
#ifdef BENCH_ISAL
#include <isa-l/igzip_lib.h>
#endif

enum { MESSAGES = 64, MAX = 16384, CAP = MAX + 1024, TAIL = 9 };

struct message {
    uint8_t text[MAX];
    uint8_t packed[CAP];
    size_t packed_len;
};

static struct message messages[MESSAGES];
static size_t size; /* of each text */
static uint8_t out[CAP];

/* ---- texts ---- */

static uint32_t dice = 1;

static uint32_t roll(uint32_t sides)
{
    dice = dice * 1664525u + 1013904223u;
    return (dice >> 8) % sides;
}

static const char *word(void)
{
    static const char *const words[] = {
        "shall", "we",   "meet",   "at",    "noon",   "the",   "build",   "is",    "red",
        "again", "done", "thanks", "later", "from",   "home",  "with",    "maybe", "coffee",
        "river", "near", "bridge", "over",  "slowly", "every", "morning", "until", "somebody"};

    return words[roll(sizeof words / sizeof *words)];
}

static size_t put_record(char *to, size_t cap)
{
    int len = snprintf(to, cap,
                       "{\"id\":%u,\"from\":\"%s\",\"at\":17%08u,\"read\":%s,\"text\":\"%s %s %s "
                       "%s %s %s\"},",
                       roll(1000000), word(), roll(100000000), roll(2) ? "true" : "false", word(),
                       word(), word(), word(), word(), word());
    return (size_t)len;
}

static size_t put_word(char *to, size_t cap)
{
    int len = snprintf(to, cap, "%s%s", word(), roll(12) == 0 ? ".\n" : roll(7) == 0 ? ", " : " ");

    return (size_t)len;
}

static void fill(uint8_t *text, bool json)
{
    char longest[512];

    for (size_t at = 0; at < size;) {
        size_t len = json ? put_record(longest, sizeof longest) : put_word(longest, sizeof longest);
        len = len < size - at ? len : size - at;
        memcpy(text + at, longest, len);
        at += len;
    }
}

/* ---- measuring ---- */

static double cpu_us(void)
{
    struct timespec now;

    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (double)now.tv_sec * 1e6 + (double)now.tv_nsec / 1e3;
}

static unsigned rounds = 200;

typedef size_t (*run_fn)(struct message *message); /* bytes that came out */

static void measure(const char *name, run_fn run)
{
    double least = 1e12;
    size_t bytes = 0;

    for (unsigned round = 0; round < rounds; round++) {
        double from = cpu_us();
        bytes = 0;
        for (size_t i = 0; i < MESSAGES; i++) {
            bytes += run(&messages[i]);
        }
        double took = (cpu_us() - from) / MESSAGES;
        least = took < least ? took : least;
    }
    printf("  %-44s %7.2f us %7zu B\n", name, least, bytes / MESSAGES);
}

/* ---- zlib ---- */

static z_stream deflater;
static z_stream inflater;

static size_t deflate_zlib(struct message *message)
{
    deflateReset(&deflater);
    deflater.next_in = message->text;
    deflater.avail_in = (uInt)size;
    deflater.next_out = out;
    deflater.avail_out = CAP;
    deflate(&deflater, Z_SYNC_FLUSH);
    return CAP - deflater.avail_out - 4;
}

static size_t inflate_zlib(struct message *message)
{
    inflateReset(&inflater);
    inflater.next_in = message->packed;
    inflater.avail_in = (uInt)message->packed_len;
    inflater.next_out = out;
    inflater.avail_out = CAP;
    inflate(&inflater, Z_SYNC_FLUSH);
    return CAP - inflater.avail_out;
}

static void with_zlib(int level, int bits, int memory, run_fn run, const char *name)
{
    deflater = (z_stream){.zalloc = NULL};
    if (deflateInit2(&deflater, level, Z_DEFLATED, -bits, memory, Z_DEFAULT_STRATEGY) == Z_OK) {
        measure(name, run);
    }
    deflateEnd(&deflater);
}

static size_t keep_packed(struct message *message)
{
    message->packed_len = deflate_zlib(message);
    memcpy(message->packed, out, message->packed_len);
    memcpy(message->packed + message->packed_len, "\0\0\xff\xff\1\0\0\xff\xff", TAIL);
    return message->packed_len;
}

/* ---- the others ---- */

#ifdef BENCH_LIBDEFLATE
static struct libdeflate_compressor *compressor;
static struct libdeflate_decompressor *decompressor;

static size_t deflate_libdeflate(struct message *message)
{
    return libdeflate_deflate_compress(compressor, message->text, size, out, CAP) + 1;
}

static size_t inflate_libdeflate(struct message *message)
{
    size_t len = 0;

    libdeflate_deflate_decompress(decompressor, message->packed, message->packed_len + TAIL, out,
                                  CAP, &len);
    return len;
}

static void measure_libdeflate(void)
{
    for (int level = 1; level <= 6; level += level == 1 ? 1 : 4) {
        char name[64];
        snprintf(name, sizeof name, "libdeflate %s, level %d", LIBDEFLATE_VERSION_STRING, level);
        compressor = libdeflate_alloc_compressor(level);
        measure(name, deflate_libdeflate);
        libdeflate_free_compressor(compressor);
    }
}
#endif

#ifdef BENCH_ISAL
static struct isal_zstream igzip;
static struct inflate_state igunzip;
static uint8_t level_buffer[ISAL_DEF_LVL1_DEFAULT];
static bool fixed_codes;

static size_t deflate_isal(struct message *message)
{
    isal_deflate_stateless_init(&igzip);
    igzip.level = fixed_codes ? 0 : 1;
    igzip.level_buf = fixed_codes ? NULL : level_buffer;
    igzip.level_buf_size = fixed_codes ? 0 : sizeof level_buffer;
    if (fixed_codes) {
        isal_deflate_set_hufftables(&igzip, NULL, IGZIP_HUFFTABLE_STATIC);
    }
    igzip.next_in = message->text;
    igzip.avail_in = (uint32_t)size;
    igzip.next_out = out;
    igzip.avail_out = CAP;
    igzip.end_of_stream = 1;
    isal_deflate_stateless(&igzip);
    return igzip.total_out + 1;
}

static size_t deflate_isal_flushed(struct message *message)
{
    isal_deflate_reset(&igzip);
    igzip.flush = SYNC_FLUSH;
    igzip.end_of_stream = 0;
    igzip.next_in = message->text;
    igzip.avail_in = (uint32_t)size;
    igzip.next_out = out;
    igzip.avail_out = CAP;
    isal_deflate(&igzip);
    return igzip.total_out - 4;
}

static void measure_isal_flushed(void)
{
    isal_deflate_init(&igzip);
    igzip.level = 1;
    igzip.level_buf = level_buffer;
    igzip.level_buf_size = sizeof level_buffer;
    measure("isa-l, level 1, flushed", deflate_isal_flushed);
}

static size_t inflate_isal(struct message *message)
{
    isal_inflate_reset(&igunzip);
    igunzip.crc_flag = ISAL_DEFLATE;
    igunzip.next_in = message->packed;
    igunzip.avail_in = (uint32_t)message->packed_len;
    igunzip.next_out = out;
    igunzip.avail_out = CAP;
    isal_inflate(&igunzip);
    return CAP - igunzip.avail_out;
}
#endif

/* ---- all ---- */

static void measure_deflate(void)
{
    with_zlib(1, 15, 8, deflate_zlib, "zlib " ZLIB_VERSION ", level 1");
    with_zlib(1, 12, 5, deflate_zlib, "zlib, level 1, window of 12 bits");
    with_zlib(6, 15, 8, deflate_zlib, "zlib, level 6");
#ifdef BENCH_LIBDEFLATE
    measure_libdeflate();
#endif
#ifdef BENCH_ISAL
    measure_isal_flushed();
    fixed_codes = false;
    measure("isa-l, level 1", deflate_isal);
    fixed_codes = true;
    measure("isa-l, level 0, fixed codes", deflate_isal);
#endif
}

static void measure_all(const char *name, size_t len, bool json)
{
    size = len;
    for (size_t i = 0; i < MESSAGES; i++) {
        fill(messages[i].text, json);
    }
    printf("%s, compressing\n", name);
    measure_deflate();
    printf("%s, inflating\n", name);
    unsigned wanted = rounds;
    rounds = 1;
    with_zlib(Z_DEFAULT_COMPRESSION, 15, 8, keep_packed, "(what is inflated)");
    rounds = wanted;
    measure("zlib", inflate_zlib);
#ifdef BENCH_LIBDEFLATE
    measure("libdeflate", inflate_libdeflate);
#endif
#ifdef BENCH_ISAL
    measure("isa-l", inflate_isal);
#endif
}

int main(int count, char **words)
{
    rounds = count > 1 ? (unsigned)atoi(words[1]) : rounds;
    if (inflateInit2(&inflater, -15) != Z_OK) {
        return 1;
    }
#ifdef BENCH_LIBDEFLATE
    decompressor = libdeflate_alloc_decompressor();
#endif
#ifdef BENCH_ISAL
    isal_inflate_init(&igunzip);
#endif
    measure_all("64 B of JSON", 64, true);
    measure_all("1 KiB of JSON", 1024, true);
    measure_all("16 KiB of text", MAX, false);
#ifdef BENCH_LIBDEFLATE
    libdeflate_free_decompressor(decompressor);
#endif
    inflateEnd(&inflater);
    return 0;
}
