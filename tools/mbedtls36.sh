#!/bin/sh
# mbedtls36.sh FOLDER: puts Debian 13's mbedTLS 3.6 into FOLDER/usr, for tests on an older Debian.
# apt fetches and checks it, with sources, lists and cache of its own beside FOLDER; the system's packages,
# lists and settings stay as they are, and nobody needs to be root. What it does is told on standard error.
# Ends with 77, and the reason on standard output, where that cannot be done.
set -eu
root=$1
keyring=/usr/share/keyrings/debian-archive-keyring.gpg
packages='libmbedtls-dev libmbedtls21 libmbedx509-7 libmbedcrypto16'

unable() {
    echo "$1"
    exit 77
}

if [ -e "$root/usr/include/mbedtls/build_info.h" ]; then
    echo "mbedTLS 3.6 is in $root; remove that folder to fetch it again" >&2
    exit 0
fi
for tool in apt-get dpkg dpkg-deb; do
    command -v $tool >/dev/null || unable "$tool is not installed"
done
. /etc/os-release
[ "$ID" = debian ] || unable "this is not Debian; -DCAUSEWAY_MBEDTLS_ROOT= takes an mbedTLS of your own"
[ -e $keyring ] || unable "the package debian-archive-keyring is not installed"

mkdir -p "$root-apt"
work=$(cd "$root-apt" && pwd)
mkdir -p "$work/lists/partial" "$work/cache/archives/partial" "$work/debs"
: >"$work/status"

# The mirror this machine uses, if it names one for its own release.
mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' 'Component: main' \
    "Release: ${VERSION_CODENAME:-}" 2>/dev/null | head -n 1)
echo "deb [arch=$(dpkg --print-architecture) signed-by=$keyring target=Packages lang=none]" \
    "${mirror:-http://deb.debian.org/debian} trixie main" >"$work/sources.list"

# Read after the system's settings, so that a proxy stays and everything else is ours.
cat >"$work/apt.conf" <<CONF
#clear APT::Default-Release;
#clear APT::Update::Pre-Invoke;
#clear APT::Update::Post-Invoke;
#clear APT::Update::Post-Invoke-Success;
APT::Update::Error-Mode "any";
APT::Get::AllowUnauthenticated "false";
Acquire::AllowInsecureRepositories "false";
Acquire::AllowWeakRepositories "false";
Acquire::AllowDowngradeToInsecureRepositories "false";
Acquire::Retries "2";
Dir::Etc::sourcelist "$work/sources.list";
Dir::Etc::sourceparts "/dev/null";
Dir::Etc::preferences "/dev/null";
Dir::Etc::preferencesparts "/dev/null";
Dir::State "$work";
Dir::State::lists "$work/lists";
Dir::State::status "$work/status";
Dir::Cache "$work/cache";
Dir::Log "$work";
CONF

cd "$work/debs"
rm -f ./*.deb
cat "$work/sources.list" >&2
apt-get -c "$work/apt.conf" update >&2 || unable "Debian 13's package list could not be had (see above)"
# shellcheck disable=SC2086 # four words
apt-get -c "$work/apt.conf" download $packages >&2 || unable "Debian 13's packages could not be had (see above)"
rm -rf "$work/unpacked"
for deb in ./*.deb; do
    dpkg-deb --extract "$deb" "$work/unpacked"
done
cd - >/dev/null
rm -rf "$root"
mv "$work/unpacked" "$root"
rm -rf "$work"
