/* The datagrams of docs/writing-a-protocol.md keep the laws, too. */
#include "contract/laws_datagram.h"

extern const struct cw_protocol numbered;
#include "../docs/numbered.c"

#define OF(number, text) LAW_BYTES("\0\0\0" number text)

static const struct datagram_vector vectors[] = {
    {
        .name = "in order",
        .setup = {.protocol = &numbered},
        LAW_DATAGRAMS(OF("\1", "one"), OF("\2", ""), OF("\5", "five")),
        .story = "open\nbinary \"one\"\nbinary \"\"\nbinary \"five\"\n",
        .sent =
            "\"\\x00\\x00\\x00\\x01one\"\n\"\\x00\\x00\\x00\\x02\"\n\"\\x00\\x00\\x00\\x03five\"\n",
        .ordered = true,
    },
    {
        .name = "late ones and doubles",
        .setup = {.protocol = &numbered},
        LAW_DATAGRAMS(OF("\1", "one"), OF("\4", "four"), OF("\3", "late"), OF("\4", "four"),
                      OF("\5", "five")),
        .story = "open\nbinary \"one\"\nbinary \"four\"\nbinary \"five\"\n",
        .sent = "\"\\x00\\x00\\x00\\x01one\"\n\"\\x00\\x00\\x00\\x02four\"\n"
                "\"\\x00\\x00\\x00\\x03five\"\n",
        .ordered = true,
    },
    {
        .name = "too short for a number",
        .setup = {.protocol = &numbered, .role = CW_CLIENT},
        LAW_DATAGRAMS(LAW_BYTES(""), LAW_BYTES("\0\0\1")),
        .story = "open\n",
        .sent = "",
    },
};

LAWS_OF_DATAGRAMS_HOLD(custom_datagram, vectors)

Test(custom_datagram, the_newest_wins_across_the_end_of_the_numbers)
{
    static const char *const datagrams[] = {"\x7f\xff\xff\xff"
                                            "a",
                                            "\xff\xff\xff\xfe"
                                            "b",
                                            "\0\0\0\1"
                                            "c",
                                            "\xff\xff\xff\xff"
                                            "d"};
    struct rig *rig = rig_new(&(struct rig_setup){.protocol = &numbered});

    for (size_t i = 0; i < 4; i++) {
        rig_feed(rig, datagrams[i], 5);
    }
    cr_assert_str_eq(rig_told(rig), "open\nbinary \"a\"\nbinary \"b\"\nbinary \"c\"\n");
    rig_free(rig);
}
