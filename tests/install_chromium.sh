#!/bin/sh
# Browser tests need Chromium. When it is missing and this user may, Debian's is installed; otherwise those tests say that they skip.
command -v chromium >/dev/null 2>&1 && exit 0
[ -n "${CHROMIUM:-}" ] && exit 0
if [ "$(id -u)" -eq 0 ] && command -v apt-get >/dev/null 2>&1; then
    echo "Installing Chromium for the browser tests ..."
    log=$(mktemp)
    if apt-get update -qq >"$log" 2>&1 && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends chromium >>"$log" 2>&1; then
        rm -f "$log"
        exit 0
    fi
    tail -5 "$log"
fi
echo "Chromium is missing and could not be installed here: browser tests will be skipped (install it, or set CHROMIUM=/path)."
