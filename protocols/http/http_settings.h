/* Options of HTTP: their defaults, what is allowed, and the keys that a configuration file may set them with. */
#ifndef CW_HTTP_SETTINGS_H
#define CW_HTTP_SETTINGS_H

#include <causeway/config.h>
#include <causeway/http.h>
#include <causeway/protocol.h>

enum {
    CW_HTTP_HEAD_MAX = 1048576, /* that head_max_bytes may say: the unused input grows to it */
    CW_HTTP_FIELDS_MAX = 1000,
};

/* The keys of the section `http`. */
extern const struct cw_setting cw_http_settings[];

/* Checks a struct cw_http_options, puts the defaults in the place of zeros, and copies its texts.
 *
 * Lifted members have one value then: body_max_bytes and requests_max CW_NO_LIMIT; head_ms, body_ms, body_rate_min,
 * response_ms CW_OFF. keep_alive_ms and discard_max_bytes stay CW_OFF.
 *
 * returns  0; CW_EINVAL, CW_ENOMEM: the complaint names the member, nothing is to be released */
int cw_http_check_options(void *options, struct cw_complaint *complaint);

/* Frees the texts. */
void cw_http_release_options(void *options);

#endif
