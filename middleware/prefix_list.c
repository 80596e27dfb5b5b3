/* Two prefixes are apart or one is inside the other: without the inner ones, sorted, they are searched by halves. */
#include "prefix_list.h"

#include <causeway/log.h>

#include <stdlib.h>

/* An address as a number; IPv4 has its bytes in front, as in struct cw_address. */
struct number {
    uint64_t high;
    uint64_t low;
};

struct range {
    struct number first;
    struct number last;
};

struct ranges {
    struct range *sorted;
    size_t count;
};

struct cw_prefix_list {
    struct ranges ipv4;
    struct ranges ipv6;
    struct range room[];
};

static uint64_t load_be64(const uint8_t *bytes)
{
    uint64_t word = 0;

    for (int i = 0; i < 8; i++) {
        word = word << 8 | bytes[i];
    }
    return word;
}

static struct number number_of(const struct cw_address *address)
{
    if (address->family == CW_IPV4) {
        return (struct number){load_be64(address->ip) >> 32 << 32, 0};
    }
    return (struct number){load_be64(address->ip), load_be64(address->ip + 8)};
}

static int compare(struct number a, struct number b)
{
    if (a.high != b.high) {
        return a.high < b.high ? -1 : 1;
    }
    return a.low == b.low ? 0 : a.low < b.low ? -1 : 1;
}

/* All bits behind the first so many. */
static uint64_t ones_behind(unsigned bits)
{
    return bits >= 64 ? 0 : UINT64_MAX >> bits;
}

static struct range range_of(const struct cw_cidr *cidr)
{
    struct number first = number_of(&cidr->network);

    return (struct range){
        first,
        {first.high | ones_behind(cidr->bits),
         first.low | (cidr->bits < 64 ? UINT64_MAX : ones_behind(cidr->bits - 64))},
    };
}

/* ---- asking ---- */

static bool holds(const struct ranges *ranges, struct number number)
{
    size_t from = 0;
    size_t to = ranges->count; /* the first that begins behind the number */

    while (from < to) {
        size_t middle = from + (to - from) / 2;

        if (compare(ranges->sorted[middle].first, number) <= 0) {
            from = middle + 1;
        } else {
            to = middle;
        }
    }
    return to > 0 && compare(number, ranges->sorted[to - 1].last) <= 0;
}

bool cw_prefix_list_contains(const struct cw_prefix_list *list, const struct cw_address *address)
{
    switch (address->family) {
    case CW_IPV4:
        return holds(&list->ipv4, number_of(address));
    case CW_IPV6:
        return holds(&list->ipv6, number_of(address));
    default:
        return false;
    }
}

/* ---- making one ---- */

/* The outer of two that begin together comes first. */
static int compare_ranges(const void *a, const void *b)
{
    const struct range *left = a;
    const struct range *right = b;
    int first = compare(left->first, right->first);

    return first != 0 ? first : compare(right->last, left->last);
}

static void settle(struct ranges *ranges)
{
    size_t kept = 0;

    if (ranges->count == 0) {
        return;
    }
    qsort(ranges->sorted, ranges->count, sizeof *ranges->sorted, compare_ranges);
    for (size_t i = 1; i < ranges->count; i++) {
        if (compare(ranges->sorted[i].first, ranges->sorted[kept].last) > 0) {
            ranges->sorted[++kept] = ranges->sorted[i];
        }
    }
    ranges->count = kept + 1;
}

struct cw_prefix_list *cw_prefix_list_new(const char *const *texts, const char **wrong)
{
    size_t count = 0;

    *wrong = NULL;
    while (texts[count] != NULL) {
        count++;
    }
    struct cw_prefix_list *list = cw_alloc_zero(sizeof *list + 2 * count * sizeof *list->room);
    if (list == NULL) {
        return NULL;
    }
    list->ipv4.sorted = list->room;
    list->ipv6.sorted = list->room + count;
    for (size_t i = 0; i < count; i++) {
        struct cw_cidr cidr;
        if (cw_cidr_parse(texts[i], &cidr) < 0) {
            *wrong = texts[i];
            cw_release(list);
            return NULL;
        }
        struct ranges *ranges = cidr.network.family == CW_IPV4 ? &list->ipv4 : &list->ipv6;
        ranges->sorted[ranges->count++] = range_of(&cidr);
    }
    settle(&list->ipv4);
    settle(&list->ipv6);
    return list;
}

void cw_prefix_list_free(struct cw_prefix_list *list)
{
    cw_release(list);
}
