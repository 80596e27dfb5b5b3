#include "datagram_settings.h"

#include <stdio.h>

enum { TTL_MOST = 255, AMPLIFICATION_MOST = 1000000, MTU_LEAST = 256, DATAGRAM_MOST = 65507 };

#define YEAR_MS ((uint64_t)365 * 24 * 3600 * 1000)
#define BUFFER_MOST ((uint64_t)INT32_MAX)
#define PEERS_MOST ((uint64_t)1 << 24)

#define AT(member) offsetof(struct datagram_settings, member)

static const struct {
    struct option_entry entry; /* without `into` */
    size_t offset;
} known[] = {
    {{.name = "peer-idle-timeout",
      .kind = OPTION_DURATION,
      .value = "TIME|off",
      .standard = "60s",
      .about = "udp: forget a peer after so long without a datagram",
      .most = YEAR_MS,
      .word = "off",
      .word_means = CW_OFF},
     AT(options.peer_idle_ms)},
    {{.name = "peer-silent-timeout",
      .kind = OPTION_DURATION,
      .value = "TIME|off",
      .standard = "5m",
      .about = "udp: forget a peer that sends nothing for so long, whatever it is sent",
      .most = YEAR_MS,
      .word = "off",
      .word_means = CW_OFF},
     AT(options.peer_silent_ms)},
    {{.name = "max-peers",
      .kind = OPTION_COUNT,
      .value = "N",
      .standard = "--max-connections",
      .about = "udp: peers at once; for one more the longest idle leaves",
      .most = PEERS_MOST},
     AT(options.peers_max)},
    {{.name = "amplification",
      .kind = OPTION_COUNT,
      .value = "N|unlimited",
      .standard = "3",
      .about = "udp: bytes to a peer that has proved nothing, for each that it has sent",
      .most = AMPLIFICATION_MOST,
      .word = "unlimited",
      .word_means = CW_NO_LIMIT},
     AT(options.amplification)},
    {{.name = "receive-buffer",
      .kind = OPTION_SIZE,
      .value = "BYTES",
      .standard = "the kernel's",
      .about = "udp: what the kernel holds until it is read; with K, M or G",
      .most = BUFFER_MOST},
     AT(options.receive_buffer_bytes)},
    {{.name = "dont-fragment",
      .kind = OPTION_SWITCH,
      .about = "udp: refuse what does not fit the path in one piece"},
     AT(options.dont_fragment)},
    {{.name = "broadcast", .kind = OPTION_SWITCH, .about = "udp: send to broadcast addresses too"},
     AT(options.broadcast)},
    {{.name = "multicast-group",
      .kind = OPTION_WORDS,
      .value = "ADDRESS",
      .about =
          "udp: be a member of this group, with --host 0.0.0.0 or ::; may be given several times"},
     AT(words)},
    {{.name = "multicast-interface",
      .kind = OPTION_TEXT,
      .value = "NAME",
      .standard = "the system chooses",
      .about = "udp: the interface of groups, by its name or an address of it"},
     AT(options.multicast_interface)},
    {{.name = "multicast-ttl",
      .kind = OPTION_COUNT,
      .value = "N",
      .standard = "1",
      .about = "udp: hops of what is sent to a group",
      .most = TTL_MOST},
     AT(options.multicast_ttl)},
    {{.name = "mtu",
      .kind = OPTION_SIZE,
      .value = "BYTES",
      .standard = "1400 bytes",
      .about = "udp with --tls-cert (DTLS): what fits into one datagram",
      .most = DATAGRAM_MOST},
     AT(mtu_bytes)},
};

enum { KNOWN_COUNT = sizeof known / sizeof known[0] };

_Static_assert((int)KNOWN_COUNT <= (int)DATAGRAM_ENTRIES_MAX, "there is room for all of them");

size_t datagram_settings_entries(struct datagram_settings *settings, struct option_entry *entries)
{
    for (size_t i = 0; i < KNOWN_COUNT; i++) {
        entries[i] = known[i].entry;
        entries[i].into = (char *)settings + known[i].offset;
    }
    return KNOWN_COUNT;
}

/* The words have commas between them, the groups ends. */
static bool split_groups(struct datagram_settings *settings)
{
    struct cw_datagram_options *options = &settings->options;
    char *rest = settings->texts.text;

    settings->texts = settings->words;
    while (rest[0] != '\0' && options->group_count < DATAGRAM_GROUPS_MAX) {
        size_t len = strcspn(rest, ",");
        bool last = rest[len] == '\0';

        settings->groups[options->group_count++] =
            (struct cw_multicast_group){.group = rest, .interface = options->multicast_interface};
        rest[len] = '\0';
        rest += last ? len : len + 1;
    }
    options->groups = options->group_count == 0 ? NULL : settings->groups;
    return rest[0] == '\0';
}

static bool is_group(const char *text)
{
    struct cw_address address;

    return cw_address_parse(text, &address) == 0 && address.port == 0 &&
           (address.family == CW_IPV4 ? address.ip[0] >> 4 == 0xe : address.ip[0] == 0xff);
}

bool datagram_settings_finish(struct datagram_settings *settings, bool encrypted, char *complaint)
{
    if (!split_groups(settings)) {
        snprintf(complaint, DATAGRAM_COMPLAINT_BYTES, "--multicast-group: more than %d of them",
                 DATAGRAM_GROUPS_MAX);
        return false;
    }
    for (size_t i = 0; i < settings->options.group_count; i++) {
        if (!is_group(settings->groups[i].group)) {
            snprintf(complaint, DATAGRAM_COMPLAINT_BYTES,
                     "--multicast-group %.60s: expected a multicast address, such as 239.1.2.3 or "
                     "ff15::1",
                     settings->groups[i].group);
            return false;
        }
    }
    if (settings->mtu_bytes != 0 && settings->mtu_bytes < MTU_LEAST) {
        snprintf(complaint, DATAGRAM_COMPLAINT_BYTES, "--mtu %u: expected bytes from %d to %d",
                 (unsigned)settings->mtu_bytes, MTU_LEAST, DATAGRAM_MOST);
        return false;
    }
    if (settings->mtu_bytes != 0 && !encrypted) {
        snprintf(complaint, DATAGRAM_COMPLAINT_BYTES, "--mtu needs --tls-cert FILE: it is of DTLS");
        return false;
    }
    return true;
}

static void over(uint64_t *value, uint64_t given)
{
    *value = given == 0 ? *value : given;
}

void datagram_settings_over(const struct datagram_settings *settings,
                            struct cw_datagram_options *options)
{
    const struct cw_datagram_options *given = &settings->options;

    over(&options->peer_idle_ms, given->peer_idle_ms);
    over(&options->peer_silent_ms, given->peer_silent_ms);
    over(&options->peers_max, given->peers_max);
    over(&options->amplification, given->amplification);
    over(&options->receive_buffer_bytes, given->receive_buffer_bytes);
    over(&options->multicast_ttl, given->multicast_ttl);
    options->dont_fragment = options->dont_fragment || given->dont_fragment;
    options->broadcast = options->broadcast || given->broadcast;
    if (given->multicast_interface != NULL) {
        options->multicast_interface = given->multicast_interface;
    }
    if (given->group_count > 0) {
        options->groups = given->groups;
        options->group_count = given->group_count;
    }
}
