#!/usr/bin/env bash
# Install Debian's chromium, with which the tests drive the viewer's page, unless it is there. Where it cannot be
# installed, print how to and exit with 0, or with 1 if SGI_REQUIRE_BROWSER is set.
set -euo pipefail
command -v chromium >/dev/null && exit 0

missing() {
  echo "The tests of the viewer's page are skipped, because chromium is not installed: $1" >&2
  [ -z "${SGI_REQUIRE_BROWSER:-}" ] && exit 0 || exit 1
}
command -v apt-get >/dev/null || missing "install it so that \`chromium\` is a command"
[ "$(id -u)" = 0 ] || missing "sudo apt-get install chromium"
# The lists may be current although an update of them fails.
apt-get -qq update || true
DEBIAN_FRONTEND=noninteractive apt-get -qq install --yes --no-install-recommends chromium >/dev/null ||
  missing "apt-get could not install it"
