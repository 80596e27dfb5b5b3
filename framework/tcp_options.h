/* TCP's knobs, set on a descriptor. What a listener has, the connections it accepts inherit. */
#ifndef CW_TCP_OPTIONS_H
#define CW_TCP_OPTIONS_H

#include <causeway/conn.h>

/* 0 or an enum cw_error; errno stays set. */
int cw_tcp_options_apply(int fd, const struct cw_tcp_options *options, bool is_tcp);

#endif
