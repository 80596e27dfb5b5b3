#ifndef CAUSEWAY_TESTS_NAMESERVER_H
#define CAUSEWAY_TESTS_NAMESERVER_H

/* A nameserver of a few lines on the loop under test, and files that send the loop's resolver to it. */

#include <causeway/loop.h>

/* What it does with a question for one type of record. */
enum rig_dns_answer {
    RIG_DNS_LOOPBACK,  /* 127.0.0.1 or ::1 */
    RIG_DNS_NO_RECORD, /* the name is there, without a record of this type */
    RIG_DNS_NO_NAME,
    RIG_DNS_FAILURE, /* SERVFAIL */
    RIG_DNS_SILENCE,
};

struct rig_nameserver {
    int fd;
    struct cw_watch *watch;
    enum rig_dns_answer a;
    enum rig_dns_answer aaaa;
    unsigned questions;
    char resolv_conf[64];
    char hosts[64];
};

/* Begins. The loop must not have looked up a name yet. hosts: the text of the hosts file; its only source if `a` and
 * `aaaa` are not wanted. has_server: false: resolv.conf is empty. */
void rig_nameserver_open(struct rig_nameserver *server, struct cw_loop *loop, const char *hosts,
                         bool has_server);

/* Stops watching: the loop may end. */
void rig_nameserver_rest(struct rig_nameserver *server);
void rig_nameserver_close(struct rig_nameserver *server);

#endif
