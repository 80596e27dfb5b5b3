/* The example of docs/writing-a-protocol.md keeps the laws, too. */
#include "contract/laws.h"

#define main custom_protocol_main
int custom_protocol_main(void);
#include "../../examples/custom_protocol/custom_protocol.c"
#undef main

#define BYTES(literal)                                                                             \
    {                                                                                              \
        (const uint8_t *)(literal), sizeof(literal) - 1                                            \
    }
#define REFUSED(code, text) "error " code ": parcel: " text "\nclose " code ": " text "\n"

static const struct law_vector vectors[] = {
    {
        .name = "parcels",
        .setup = {.protocol = &parcel},
        .input = BYTES("\2hi\x2d\0\0\1!\xde"),
        .story = "open\nbinary \"hi\"\nbinary \"\"\nbinary \"!\"\n",
        .output = BYTES("\2hi\x2d\0\0\1!\xde"),
    },
    {
        .name = "a wrong sum",
        .setup = {.protocol = &parcel},
        .input = BYTES("\2hi\x2d\1!!"),
        .story = "open\nbinary \"hi\"\n" REFUSED("CW_EPROTO", "the sum is not zero"),
        .output = BYTES("\2hi\x2d"),
        .refused_at = 7,
    },
    {
        .name = "over the limit",
        .setup = {.protocol = &parcel},
        .input = BYTES("\2hi\x2d\xc9hi!"),
        .story = "open\nbinary \"hi\"\n" REFUSED("CW_ETOOBIG", "parcel of 201 bytes"),
        .output = BYTES("\2hi\x2d"),
        .refused_at = 5,
    },
    {
        .name = "cut short",
        .setup = {.protocol = &parcel},
        .input = BYTES("\2hi"),
        .ends = true,
        .story = "open\n" REFUSED("CW_ETRUNCATED", "input ended, 3 bytes make no message"),
    },
};

LAWS_HOLD(custom_protocol, vectors)
