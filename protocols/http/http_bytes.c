/* Which bytes may stand where. */
#include "http/http_bytes.h"

/* Rows of sixteen, by kinds of bytes that are in the same sets. */
enum {
    _ = 0,                                                            /* control characters */
    A = CW_BYTE_TOKEN | CW_BYTE_VALUE | CW_BYTE_PLAIN | CW_BYTE_QUERY /* letters, digits, - _ ~ */
        | CW_BYTE_NAME | CW_BYTE_UNRESERVED | CW_BYTE_COOKIE,
    D = A & ~CW_BYTE_PLAIN,                             /* . */
    S = A & ~CW_BYTE_UNRESERVED,                        /* ! $ & ' * + */
    P = S & ~CW_BYTE_TOKEN,                             /* ( ) = */
    C = P & ~CW_BYTE_COOKIE,                            /* , ; */
    O = P & ~CW_BYTE_NAME,                              /* : @ [ ] { } */
    T = O | CW_BYTE_TOKEN,                              /* ^ ` | */
    H = CW_BYTE_TOKEN | CW_BYTE_VALUE | CW_BYTE_COOKIE, /* # */
    E = H | CW_BYTE_QUERY,                              /* % */
    F = E & ~CW_BYTE_TOKEN,                             /* / ? */
    X = CW_BYTE_VALUE | CW_BYTE_COOKIE,                 /* < > */
    B = CW_BYTE_VALUE,                                  /* blanks, \ */
    Q = CW_BYTE_VALUE | CW_BYTE_PLAIN | CW_BYTE_QUERY,  /* ", above 127 */
};

/* clang-format off */
const uint8_t cw_http_bytes[256] = {
    _, _, _, _, _, _, _, _, _, B, _, _, _, _, _, _,
    _, _, _, _, _, _, _, _, _, _, _, _, _, _, _, _,
    B, S, Q, H, S, E, S, S, P, P, S, S, C, A, D, F, /*   ! " # $ % & ' ( ) * + , - . / */
    A, A, A, A, A, A, A, A, A, A, O, C, X, P, X, F, /* 0 1 2 3 4 5 6 7 8 9 : ; < = > ? */
    O, A, A, A, A, A, A, A, A, A, A, A, A, A, A, A, /* @ A … */
    A, A, A, A, A, A, A, A, A, A, A, O, B, O, T, A, /* … Z [ \ ] ^ _ */
    T, A, A, A, A, A, A, A, A, A, A, A, A, A, A, A, /* ` a … */
    A, A, A, A, A, A, A, A, A, A, A, O, T, O, A, _, /* … z { | } ~ */
    Q, Q, Q, Q, Q, Q, Q, Q, Q, Q, Q, Q, Q, Q, Q, Q,
    Q, Q, Q, Q, Q, Q, Q, Q, Q, Q, Q, Q, Q, Q, Q, Q,
    Q, Q, Q, Q, Q, Q, Q, Q, Q, Q, Q, Q, Q, Q, Q, Q,
    Q, Q, Q, Q, Q, Q, Q, Q, Q, Q, Q, Q, Q, Q, Q, Q,
    Q, Q, Q, Q, Q, Q, Q, Q, Q, Q, Q, Q, Q, Q, Q, Q,
    Q, Q, Q, Q, Q, Q, Q, Q, Q, Q, Q, Q, Q, Q, Q, Q,
    Q, Q, Q, Q, Q, Q, Q, Q, Q, Q, Q, Q, Q, Q, Q, Q,
    Q, Q, Q, Q, Q, Q, Q, Q, Q, Q, Q, Q, Q, Q, Q, Q,
};
/* clang-format on */

static int hex_digit(uint8_t byte)
{
    uint8_t letter = byte | 0x20;

    if (byte >= '0' && byte <= '9') {
        return byte - '0';
    }
    return letter >= 'a' && letter <= 'f' ? letter - 'a' + 10 : -1;
}

int cw_http_hex(const uint8_t digits[2])
{
    int high = hex_digit(digits[0]);
    int low = hex_digit(digits[1]);

    return high < 0 || low < 0 ? -1 : high * 16 + low;
}

struct cw_span cw_http_trimmed(const uint8_t *from, const uint8_t *to)
{
    while (from < to && cw_http_is_blank(*from)) {
        from++;
    }
    while (from < to && cw_http_is_blank(to[-1])) {
        to--;
    }
    return cw_span_of(from, (size_t)(to - from));
}
