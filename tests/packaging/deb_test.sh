#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Builds the Debian package; checks it with lintian, looks at what it holds and runs its program.
set -euo pipefail

fail() {
  echo "deb_test: $*" >&2
  exit 1
}

package=$("$PENSTOCK_SOURCE_DIR/packaging/build-deb" | tail -n 1)
[[ -f $package ]] || fail "build-deb named no package: '$package'"

root_option=()
[[ $(id -u) -ne 0 ]] || root_option=(--allow-root)
lintian "${root_option[@]}" --fail-on error --info "${package%.deb}.changes"

contents=$(dpkg-deb --contents "$package")
for path in usr/bin/penstock usr/share/man/man1/penstock.1.gz \
  usr/share/man/man1/penstock-control.1.gz usr/share/man/man7/penstock-qmp.7.gz \
  usr/share/doc/penstock/copyright usr/share/doc/penstock/changelog.gz; do
  grep -q " \./$path\$" <<<"$contents" || fail "the package holds no $path"
done
if grep -v -e '/$' -e ' \./usr/\(bin\|share\)/' <<<"$contents"; then
  fail "the package holds the unexpected files above"
fi

depends=$(dpkg-deb --field "$package" Depends)
for library in fuse3 libfuse3-3 liburing; do
  [[ $depends == *"$library"* ]] || fail "the package does not depend on $library: $depends"
done

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
dpkg-deb --extract "$package" "$scratch"
version=$(dpkg-deb --field "$package" Version)
reported=$("$scratch/usr/bin/penstock" --version)
[[ $reported == *"$version"* ]] || fail "the program says '$reported', the package $version"
