/* UTF-8 in pieces. */
#include "ws_utf8.h"

/* RFC 3629 §4, the table behind UTF8-2 to UTF8-4: what may follow a first byte. */
static bool begin(struct cw_ws_utf8 *utf8, uint8_t lead)
{
    if (lead < 0xc2 || lead > 0xf4) {
        return false;
    }
    utf8->left = (uint8_t)(1 + (lead >= 0xe0) + (lead >= 0xf0));
    utf8->low = lead == 0xe0 ? 0xa0 : lead == 0xf0 ? 0x90 : 0x80;
    utf8->high = lead == 0xed ? 0x9f : lead == 0xf4 ? 0x8f : 0xbf;
    return true;
}

bool cw_ws_utf8_feed(struct cw_ws_utf8 *utf8, const uint8_t *data, size_t len)
{
    for (size_t at = 0; at < len; at++) {
        if (utf8->left == 0) {
            if (data[at] >= 0x80 && !begin(utf8, data[at])) {
                return false;
            }
            continue;
        }
        if (data[at] < utf8->low || data[at] > utf8->high) {
            return false;
        }
        utf8->left--;
        utf8->low = 0x80;
        utf8->high = 0xbf;
    }
    return true;
}
