#ifndef CAUSEWAY_TESTS_PKI_H
#define CAUSEWAY_TESTS_PKI_H

/* Certificates and keys for tests, made once by the build (tools/certs.sh --test). Nobody writes to their folder.
 *
 * NAME.pem and NAME.key, ECDSA P-256, for localhost, 127.0.0.1 and ::1, valid from 2024 to 2049, signed by `ca`, with
 * the subject `O=Causeway tests, CN=NAME`, unless the table says otherwise. The key that does not belong is any other.
 *
 * ```text
 * ca                    the root; crl.pem is its list of revocations
 * intermediate          signed by ca
 * chain                 signed by intermediate, which follows it in the file
 * rogue_ca              a root that nobody trusts
 *
 * server                serverAuth
 * next                  the same once more, to put in server's place
 * server_rsa            RSA with 2048 bits
 * other                 for alt.example and *.wild.example
 * third                 for third.example
 *
 * wrong_name            for other.invalid
 * expired               until 2021
 * not_yet               from 2048
 * self_signed           by itself
 * unknown_ca            by rogue_ca
 * revoked               in crl.pem
 * server_wrong_purpose  clientAuth only
 * weak                  RSA with 1024 bits
 *
 * client                clientAuth
 * client_revoked        in crl.pem
 * client_expired        until 2021
 * client_not_yet        from 2048
 * client_rogue          by rogue_ca
 * client_self_signed    by itself
 * client_weak           RSA with 1024 bits
 * client_wrong_purpose  serverAuth only
 *
 * crl.pem               revokes revoked and client_revoked; valid until 2049
 * crl_empty.pem         revokes nothing yet
 * crl_old.pem           as crl.pem, but was to be replaced in February 2024
 *
 * server_pass.key       server.key behind the passphrase `secret`, as PEM has long done it
 * server_pass_pkcs8.key the same as PKCS #8 with AES, which is what OpenSSL makes by itself; mbedTLS 2.28 cannot read it
 * server.der            server.pem in DER
 * server_key.der        server.key in DER
 * server_both.pem       server.pem and server.key in one file
 * server.sha256         server's SHA-256 fingerprint: 64 hexadecimal digits, lower case, and a newline
 * ``` */

#include <stdbool.h>

/* False: the openssl command was missing when this was built; skip the test. */
bool pki_made(void);

/* The path of a file of these, "server.pem" for example. Valid until the test ends. Fails the test when there is no
 * such file. For the test's own thread. */
const char *pki(const char *name);

#endif
