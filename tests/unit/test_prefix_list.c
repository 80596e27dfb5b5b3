#include "prefix_list.h"
#include "support/leak.h"

#include <causeway/error.h>
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

TestSuite(prefix_list, .fini = rig_expect_no_leak, .timeout = 60);

static struct cw_prefix_list *made(const char *const *texts)
{
    const char *wrong;
    struct cw_prefix_list *list = cw_prefix_list_new(texts, &wrong);

    cr_assert_not_null(list, "%s", wrong);
    cr_assert_null(wrong);
    return list;
}

static bool contains(const struct cw_prefix_list *list, const char *text)
{
    struct cw_address address;

    cr_assert_eq(cw_address_parse(text, &address), CW_OK, "%s", text);
    return cw_prefix_list_contains(list, &address);
}

Test(prefix_list, first_and_last_address_are_inside_and_their_neighbours_are_not)
{
    const char *const texts[] = {"10.1.0.0/16",   "192.168.1.1", "2001:db8::/32",
                                 "2001:db9::/65", "fe80::1",     NULL};
    struct cw_prefix_list *list = made(texts);
    static const char *const inside[] = {"10.1.0.0",
                                         "10.1.255.255",
                                         "192.168.1.1",
                                         "2001:db8::",
                                         "2001:db9::",
                                         "fe80::1",
                                         "2001:db9::7fff:ffff:ffff:ffff",
                                         "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff"};
    static const char *const outside[] = {"10.0.255.255",
                                          "10.2.0.0",
                                          "192.168.1.0",
                                          "192.168.1.2",
                                          "2001:db7:ffff:ffff:ffff:ffff:ffff:ffff",
                                          "2001:db9::8000:0:0:0",
                                          "fe80::",
                                          "fe80::2"};

    for (size_t i = 0; i < sizeof inside / sizeof *inside; i++) {
        cr_expect(contains(list, inside[i]), "%s", inside[i]);
    }
    for (size_t i = 0; i < sizeof outside / sizeof *outside; i++) {
        cr_expect_not(contains(list, outside[i]), "%s", outside[i]);
    }
    cw_prefix_list_free(list);
}

Test(prefix_list, all_of_one_family_are_none_of_the_other)
{
    const char *const ipv4[] = {"0.0.0.0/0", NULL};
    const char *const ipv6[] = {"::/0", NULL};
    struct cw_prefix_list *list = made(ipv4);

    cr_expect(contains(list, "0.0.0.0"));
    cr_expect(contains(list, "255.255.255.255"));
    cr_expect_not(contains(list, "::"));
    cw_prefix_list_free(list);
    list = made(ipv6);
    cr_expect(contains(list, "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"));
    cr_expect_not(contains(list, "1.2.3.4"));
    cr_expect_not(cw_prefix_list_contains(list, &(struct cw_address){.family = CW_UNIX}));
    cr_expect_not(cw_prefix_list_contains(list, &(struct cw_address){0}));
    cw_prefix_list_free(list);
}

Test(prefix_list, what_follows_an_inner_prefix_is_still_in_the_outer_one)
{
    const char *const texts[] = {"10.1.2.0/24", "10.0.0.0/8", "10.1.2.3", "10.0.0.0/24", NULL};
    struct cw_prefix_list *list = made(texts);

    cr_expect(contains(list, "10.1.2.3"));
    cr_expect(contains(list, "10.1.3.0"));
    cr_expect(contains(list, "10.255.0.1"));
    cr_expect_not(contains(list, "11.0.0.0"));
    cw_prefix_list_free(list);
}

Test(prefix_list, an_empty_list_contains_nothing)
{
    struct cw_prefix_list *list = made((const char *const[]){NULL});

    cr_expect_not(contains(list, "10.0.0.1"));
    cr_expect_not(contains(list, "::1"));
    cw_prefix_list_free(list);
}

Test(prefix_list, the_first_text_that_is_no_prefix_is_told)
{
    const char *const texts[] = {"10.0.0.0/8", "10.0.0.1/8", "x", NULL};
    const char *wrong;

    cr_expect_null(cw_prefix_list_new(texts, &wrong));
    cr_expect_eq(wrong, texts[1]);
}

enum { PREFIXES = 100, ADDRESSES = 20000 };

/* A few bytes only, so that prefixes meet and addresses hit them. */
static void choose(struct cw_address *address, unsigned family, unsigned *seed)
{
    *address = (struct cw_address){.family = (uint8_t)family};
    for (unsigned i = 0; i < (family == CW_IPV4 ? 4U : 16U); i++) {
        *seed = *seed * 1103515245 + 12345;
        address->ip[i] = (uint8_t)(*seed >> 16 & 7);
    }
}

Test(prefix_list, says_what_asking_each_prefix_says)
{
    static char texts[PREFIXES][CW_ADDRESS_TEXT_MAX + 8];
    const char *list_of[PREFIXES + 1] = {NULL};
    struct cw_cidr cidrs[PREFIXES];
    size_t count = 0;
    unsigned seed = 7;
    size_t hits = 0;

    while (count < PREFIXES) {
        unsigned family = count % 2 ? CW_IPV4 : CW_IPV6;
        struct cw_address address;
        char text[CW_ADDRESS_TEXT_MAX];
        choose(&address, family, &seed);
        unsigned bits = 14 + seed / 65536 % 19;
        for (unsigned bit = bits; bit < (family == CW_IPV4 ? 32 : 128); bit++) {
            address.ip[bit / 8] &= (uint8_t) ~(0x80 >> bit % 8);
        }
        cw_address_print(&address, text);
        text[strlen(text) - 2] = '\0'; /* :0 */
        bool bare = family == CW_IPV6;
        snprintf(texts[count], sizeof texts[count], "%.*s/%u", (int)strlen(text) - 2 * bare,
                 text + bare, bits);
        cr_assert_eq(cw_cidr_parse(texts[count], &cidrs[count]), CW_OK, "%s", texts[count]);
        list_of[count] = texts[count];
        count++;
    }
    struct cw_prefix_list *list = made(list_of);
    for (int i = 0; i < ADDRESSES; i++) {
        struct cw_address address;
        bool expected = false;
        choose(&address, i % 2 ? CW_IPV4 : CW_IPV6, &seed);
        for (size_t p = 0; p < PREFIXES; p++) {
            expected = expected || cw_cidr_contains(&cidrs[p], &address);
        }
        cr_assert_eq(cw_prefix_list_contains(list, &address), expected);
        hits += expected;
    }
    cr_assert_gt(hits, ADDRESSES / 100);
    cr_assert_lt(hits, ADDRESSES - ADDRESSES / 100);
    cw_prefix_list_free(list);
}
