# shellcheck shell=bash
# Shared by the scripts of this directory and .ci/run; sourced, never run.

say() { printf '%s\n' "$*" >&2; }
die() { say "error: $*"; exit 1; }

# need PACKAGE...: these Debian packages are installed, or this script ends.
# Root installs what is missing; anybody else is told what to install.
need() {
    local package missing=()
    for package; do
        [[ $(dpkg-query -W -f='${db:Status-Status}' "$package" 2>/dev/null) == installed ]] || missing+=("$package")
    done
    ((${#missing[@]})) || return 0
    command -v apt-get >/dev/null || die "needed, by the names Debian gives them: ${missing[*]}"
    ((EUID == 0)) || die "missing packages; as root: apt-get install --no-install-recommends ${missing[*]}"
    say "installing ${missing[*]}"
    (
        # Nobody asked for a service: while the packages are unpacked none may start.
        policy=/usr/sbin/policy-rc.d
        if [[ ! -e $policy ]]; then
            trap 'rm -f "$policy"' EXIT
            printf '#!/bin/sh\nexit 101\n' >"$policy"
            chmod +x "$policy"
        fi
        export DEBIAN_FRONTEND=noninteractive
        # A foreign repository that fails to update need not be one that is used here.
        apt-get -qq update || say "apt-get update had errors; going on"
        apt-get -qq -o DPkg::Lock::Timeout=300 install -y --no-install-recommends "${missing[@]}"
    ) </dev/null >&2 || die "could not install ${missing[*]}"
    # ... and none may start with the machine.
    if [[ " ${missing[*]} " == *" openssh-server "* ]] && command -v systemctl >/dev/null; then
        systemctl -q disable --now ssh.service ssh.socket 2>/dev/null || true
    fi
}

# Some crates compile C.
need_compiler() {
    command -v cc >/dev/null || need gcc libc6-dev
}
