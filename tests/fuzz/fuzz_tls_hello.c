/* What is read of TLS in the clear: cuts of the same bytes never contradict each other. */
#include "tls/tls_hello.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void expect(bool holds)
{
    if (!holds) {
        abort();
    }
}

/* Once a few bytes say what it is, more of them say the same. */
static void check_first(const uint8_t *data, size_t size)
{
    enum cw_tls_first whole = cw_tls_judge_first(cw_span_of(data, size));

    expect(size < 16 || whole != CW_FIRST_MORE);
    for (size_t n = 0; n < size && n < 32; n++) {
        enum cw_tls_first part = cw_tls_judge_first(cw_span_of(data, n));

        expect(part == CW_FIRST_MORE || part == whole);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    size_t used = cw_tls_whole_records(cw_span_of(data, size));
    bool over = false;
    uint16_t group;

    check_first(data, size);
    expect(used <= size);
    if (used < size) { /* what was whole stays whole */
        expect(cw_tls_whole_records(cw_span_of(data, used)) == used);
    }
    group = cw_tls_find_group(cw_span_of(data, size), &over);
    expect(group == 0 || over);
    (void)cw_tls_is_hello(cw_span_of(data, size));
    return 0;
}
