/* What echo serves over HTTP. */
#ifndef EXAMPLES_ECHO_HTTP_H
#define EXAMPLES_ECHO_HTTP_H

#include <causeway/http.h>

/* Adds the routes. They serve every listener that speaks HTTP.
 *
 * static_dir  its files are at /static/. NULL: there are none */
void echo_http_set_up(struct cw_server *server, const char *static_dir);

#endif
