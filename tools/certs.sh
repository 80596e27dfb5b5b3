#!/usr/bin/env bash
# Makes certificates with the openssl command; see usage. One function, `certificate`, makes them all.
set -euo pipefail
umask 077

usage() {
    cat <<'TEXT'
./dev certs [--force] [--quiet] [FOLDER]

Makes a throw-away CA, a server's and a client's certificate in FOLDER (./certs), to try TLS with.
They are valid for 30 days, for localhost, 127.0.0.1 and ::1. For trying out only.

  --force   replace those that are there already
  --quiet   say only where they are
TEXT
}

fail() {
    echo "$1" >&2
    exit 1
}

here_names=DNS:localhost,IP:127.0.0.1,IP:::1
trial_files=(ca.pem ca.key server.pem server.key client.pem client.key)

# Sections of the kind that `certificate` is told: extensions. Behind a CA's name: what it keeps its books in.
configure() {
    cat <<TEXT
[req]
distinguished_name = name
string_mask = utf8only
prompt = no
[name]
[allowed]
organizationName = optional
commonName = supplied
[authority]
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
basicConstraints = critical, CA:TRUE
keyUsage = critical, keyCertSign, cRLSign
[intermediate]
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
basicConstraints = critical, CA:TRUE, pathlen:0
keyUsage = critical, keyCertSign, cRLSign
[server]
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
basicConstraints = critical, CA:FALSE
keyUsage = critical, digitalSignature
extendedKeyUsage = serverAuth
subjectAltName = \$ENV::names
[client]
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
basicConstraints = critical, CA:FALSE
keyUsage = critical, digitalSignature
extendedKeyUsage = clientAuth
subjectAltName = \$ENV::names
[revocations]
authorityKeyIdentifier = keyid
[books]
database = \$ENV::books/index
crlnumber = \$ENV::books/crlnumber
new_certs_dir = \$ENV::books
rand_serial = yes
unique_subject = no
default_md = sha256
policy = allowed
crl_extensions = revocations
TEXT
}

# quietly COMMAND… tells what it printed only if it fails.
quietly() {
    "$@" >"$work/log" 2>&1 || {
        cat "$work/log" >&2
        fail "this failed: $*"
    }
}

# What `openssl ca` needs to sign as an issuer, or to tell what the issuer has revoked.
sign() {
    local issuer=$1
    shift
    books=$work/books/$issuer
    if [ ! -d "$books" ]; then
        mkdir -p "$books"
        touch "$books/index"
        echo 01 >"$books/crlnumber"
    fi
    quietly openssl ca -config "$work/config" -name books -batch -notext -keyfile "$made/$issuer.key" "$@"
}

# certificate NAME ISSUER KIND makes NAME.key and NAME.pem. Who issues itself is self-signed.
# Of the variables: algorithm, from, until, names (of the host), organisation.
certificate() {
    local name=$1 issuer=$2 kind=$3 new=(-newkey "$algorithm") signer=(-selfsign)
    [ "$algorithm" != ec ] || new+=(-pkeyopt ec_paramgen_curve:P-256)
    quietly openssl req -new -config "$work/config" -nodes "${new[@]}" -keyout "$made/$name.key" \
        -out "$work/request" -subj "/O=$organisation/CN=$name"
    [ "$name" = "$issuer" ] || signer=(-cert "$made/$issuer.pem")
    sign "$issuer" "${signer[@]}" -extensions "$kind" -startdate "$from" -enddate "$until" \
        -in "$work/request" -out "$made/$name.pem"
}

revoke() {
    sign "$1" -cert "$made/$1.pem" -revoke "$made/$2.pem"
}

# revocations FILE ISSUER
revocations() {
    sign "$2" -cert "$made/$2.pem" -gencrl -crl_lastupdate "$from" -crl_nextupdate "$until" -out "$made/$1"
}

stamp() {
    date -u -d "@$1" +%Y%m%d%H%M%SZ
}

trial_set() {
    local now
    now=$(date +%s)
    last_day=$(date -u -d "@$((now + 30 * 86400))" +%F)
    from=$(stamp "$now") until=$(stamp $((now + 30 * 86400)))
    organisation="Causeway, for trying out only"
    certificate ca ca authority
    certificate server ca server
    certificate client ca client
    cat "$made/ca.pem" >>"$made/server.pem"
}

# Keys as people bring them: with a passphrase, in DER, in one file with the certificate.
other_forms() {
    local key=$made/server.key
    # mbedTLS 2.28 reads AES in this older form only; the newer one is what openssl makes when it is not asked.
    quietly openssl pkey -in "$key" -traditional -aes256 -passout pass:secret -out "$made/server_pass.key"
    quietly openssl pkey -in "$key" -aes256 -passout pass:secret -out "$made/server_pass_pkcs8.key"
    quietly openssl pkey -in "$key" -outform DER -out "$made/server_key.der"
    quietly openssl x509 -in "$made/server.pem" -outform DER -out "$made/server.der"
    cat "$made/server.pem" "$key" >"$made/server_both.pem"
    sha256sum "$made/server.der" | cut -d ' ' -f 1 >"$made/server.sha256"
}

# What tests/support/pki.h lists. The dates are fixed, so that an old build folder is as good as a new one.
test_set() {
    from=20240101000000Z until=20490101000000Z
    organisation="Causeway tests"
    certificate ca ca authority
    certificate rogue_ca rogue_ca authority
    certificate intermediate ca intermediate
    certificate chain intermediate server
    cat "$made/intermediate.pem" >>"$made/chain.pem"

    certificate server ca server
    certificate next ca server
    certificate revoked ca server
    certificate unknown_ca rogue_ca server
    certificate self_signed self_signed server
    certificate server_wrong_purpose ca client
    algorithm=rsa:2048 certificate server_rsa ca server
    algorithm=rsa:1024 certificate weak ca server
    names="DNS:alt.example,DNS:*.wild.example" certificate other ca server
    names=DNS:third.example certificate third ca server
    names=DNS:other.invalid certificate wrong_name ca server
    from=20200101000000Z until=20210101000000Z certificate expired ca server
    from=20480101000000Z certificate not_yet ca server

    certificate client ca client
    certificate client_revoked ca client
    certificate client_rogue rogue_ca client
    certificate client_self_signed client_self_signed client
    algorithm=rsa:1024 certificate client_weak ca client
    certificate client_wrong_purpose ca server
    from=20200101000000Z until=20210101000000Z certificate client_expired ca client
    from=20480101000000Z certificate client_not_yet ca client

    revocations crl_empty.pem ca
    revoke ca revoked
    revoke ca client_revoked
    revocations crl.pem ca
    until=20240201000000Z revocations crl_old.pem ca
    other_forms
    touch "$made/made"
}

# Nothing that is there is touched unless that was asked for.
check_folder() {
    local file there=()
    [ ! -e "$folder" ] || [ -d "$folder" ] || fail "$folder is a file; name a folder for the certificates."
    for file in "${trial_files[@]}"; do
        if [ -e "$folder/$file" ] || [ -L "$folder/$file" ]; then
            there+=("$file")
        fi
    done
    [ ${#there[@]} -eq 0 ] || [ "$force" = yes ] ||
        fail "$folder has these already: ${there[*]}. Name another folder, or replace them with --force."
}

# Printed so that it can be typed.
tell() {
    local path
    path=$(printf '%q' "${folder%/}")
    cat <<TEXT
Made in $folder, valid until $last_day:

  ca.pem, ca.key          the CA, which signed the others; the other side of a connection checks with ca.pem
  server.pem, server.key  a server at localhost, 127.0.0.1 or ::1
  client.pem, client.key  a client, for servers that ask who comes

For trying out only: ca.key has no passphrase, and whoever reads it can be any server to those who trust ca.pem.
Add ca.pem to no browser's and no system's store.

A server, and a peer that checks its certificate (type a line, and it comes back):

  ./dev run echo --protocol line --tls-cert $path/server.pem --tls-key $path/server.key
  openssl s_client -quiet -connect 127.0.0.1:7000 -CAfile $path/ca.pem -verify_return_error

The same, with clients that show a certificate too:

  ./dev run echo --protocol line --tls-cert $path/server.pem --tls-key $path/server.key \\
      --tls-ca $path/ca.pem --tls-require-client-cert
  openssl s_client -quiet -connect 127.0.0.1:7000 -CAfile $path/ca.pem -verify_return_error \\
      -cert $path/client.pem -key $path/client.key

The chat, and somebody who joins it:

  ./dev chat --tls-cert $path/server.pem --tls-key $path/server.key
  ./dev run chat --connect tls://localhost:7340 --tls-ca $path/ca.pem --room lobby
TEXT
}

force=no quiet=no set=trial folder=
for word in "$@"; do
    case $word in
    --force) force=yes ;;
    --quiet) quiet=yes ;;
    --test) set='test' ;;
    -h | --help) usage; exit ;;
    -*) usage >&2; exit 2 ;;
    *) [ -z "$folder" ] || { usage >&2; exit 2; }; folder=$word ;;
    esac
done
folder=${folder:-certs}
command -v openssl >/dev/null || fail "The openssl command is missing; on Debian and Ubuntu: apt-get install openssl"
[ "$set" = test ] || check_folder

mkdir -p "$folder"
work=$(mktemp -d "$folder/.making.XXXXXX")
trap 'rm -rf "$work"' EXIT
made=$work/made
mkdir "$made"
algorithm=ec
export names=$here_names books= # the configuration names both
configure >"$work/config"
"${set}_set"
chmod 644 "$made"/*.pem
mv -f "$made"/* "$folder"
if [ $quiet = yes ]; then
    echo "Made in $folder, valid until $last_day, for trying out only."
elif [ "$set" = trial ]; then
    tell
fi
