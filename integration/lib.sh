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

# mirror: the address from which this machine gets Debian itself.
mirror() {
    # shellcheck disable=SC2016 # apt expands these
    apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' 'Origin: Debian' \
        "Codename: $(. /etc/os-release && echo "${VERSION_CODENAME-}")" | head -n 1
}

# unpack PREFIX SUITE PACKAGE...: these packages of a Debian release, unpacked
# below PREFIX, by way of $CACHE. Nothing is installed, nothing of the system is
# consulted but the mirror and its keys: releases can be mixed, and an engine that
# is installed here is neither disturbed nor needed.
unpack() {
    local prefix=$1 suite=$2 uri deb
    shift 2
    [[ -e $prefix ]] && return
    uri=$(mirror)
    if [[ -z $uri ]] && ((EUID == 0)); then
        apt-get -qq update >&2 || true # a fresh image comes without package lists
        uri=$(mirror)
    fi
    [[ $uri ]] || die "apt knows no Debian mirror here (as root: apt-get update)"
    say "fetching from Debian $suite: $*"
    (
        work=$(mktemp -d "$CACHE/unpack.XXXXXX")
        trap 'rm -rf "$work"' EXIT
        cd "$work"
        mkdir -p lists/partial cache/archives/partial root
        : >status
        echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $uri $suite main" >sources.list
        apt=(apt-get -qq -o Dir::Etc::SourceList="$work/sources.list" -o Dir::Etc::SourceParts=/dev/null
            -o Dir::State::Lists="$work/lists" -o Dir::State::Status="$work/status" -o Dir::Cache="$work/cache"
            -o APT::Sandbox::User="$(id -un)" -o Acquire::Languages=none -o Acquire::Retries=3)
        # Said at every step: where the caller asks whether this succeeded, bash does not end at a failure.
        "${apt[@]}" update && "${apt[@]}" download "$@" || exit 1
        for deb in *.deb; do dpkg -x "$deb" root || exit 1; done
        mv root "$prefix"
    )
}
