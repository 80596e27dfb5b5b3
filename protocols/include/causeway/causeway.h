/* Everything an application needs, except middleware (causeway/middleware/…) and what the author of a protocol
 * needs (causeway/protocol.h). */
#ifndef CAUSEWAY_CAUSEWAY_H
#define CAUSEWAY_CAUSEWAY_H

#include <causeway/address.h>
#include <causeway/client.h>
#include <causeway/config.h>
#include <causeway/conn.h>
#include <causeway/datagram.h>
#include <causeway/digest.h>
#include <causeway/error.h>
#include <causeway/framed.h>
#include <causeway/hash.h>
#include <causeway/http.h>
#include <causeway/http_client.h>
#include <causeway/http_fields.h>
#include <causeway/http_middleware.h>
#include <causeway/json.h>
#include <causeway/line.h>
#include <causeway/log.h>
#include <causeway/loop.h>
#include <causeway/middleware.h>
#include <causeway/payload.h>
#include <causeway/room.h>
#include <causeway/server.h>
#include <causeway/span.h>
#include <causeway/tcp.h>
#include <causeway/tls.h>
#include <causeway/types.h>
#include <causeway/udp.h>
#include <causeway/version.h>
#include <causeway/websocket.h>

#endif
